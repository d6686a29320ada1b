"""CycleGAN, CUT and StarGAN v2 with the same CPU time: cats to dogs, or Twemoji to OpenMoji, at 32 or 64 px.

    python launch.py --config=configs/equal_time.py:method=cyclegan,data=pets --workdir=runs/equal_time --mode=train

`method` is `cyclegan`, `cut` or `stargan_v2`, `data` is `pets` or `emoji`. Six to nine minutes of one CPU core
each; with `size=64`, for CycleGAN and CUT, forty. `docs/results.md` has the numbers.

Differs from the papers by what a short run on small pictures needs. All generators add to the source, which leaves
backgrounds as they are from the start. The discriminators of CycleGAN and CUT are small, play the non-saturating game
and are held by R1. StarGAN v2 has no latent pass, as the quickstart's, and none of its second game, skips and norms.
"""

from configs import common, quickstart
from gan_transfer.errors import UserError

DOMAINS = {'emoji': ('twemoji', 'openmoji'), 'pets': ('cat', 'dog')}
# Size -> method -> what fits into the time.
IMAGES = {
    32: {'cyclegan': 6_400, 'cut': 12_800, 'stargan_v2': 7_200},
    64: {'cyclegan': 9_600, 'cut': 19_200},
}
SMALL = {
    'generator_blocks': 4,
    'discriminator_width': 32,
    'residual': True,
    'antialias': True,
    'adversarial': 'non_saturating',
    'r1_weight': 0.5,
    'regularize_every': 8,
}


def get_config(argument=''):
    arguments = common.parse(argument, method='cyclegan', data='pets', size=32)
    methods = IMAGES.get(arguments.size, IMAGES[32])
    for name, choices in (('size', IMAGES), ('method', methods), ('data', DOMAINS)):
        if getattr(arguments, name) not in choices:
            raise UserError(
                f'unknown {name} {getattr(arguments, name)!r}; choices: {", ".join(map(str, choices))}'
            )
    config = quickstart.get_config()
    config.image_size = arguments.size
    large = arguments.size == 64
    small = {**SMALL, 'generator_width': 24 if large else 32, 'discriminator_depth': 3 if large else 2}
    if arguments.method == 'cyclegan':
        config.method = common.method('cyclegan', cycle_weight=3.0, identity_weight=0.0, pool_size=0, **small)
    elif arguments.method == 'cut':
        layers = ('down_0', 'down_1', 'block_0', 'block_3')
        config.method = common.method(
            'cut', nce_weight=0.5, nce_layers=layers, identity=False, projection_width=64, **small
        )
    else:
        config.method = common.method(
            'stargan_v2',
            passes=('reference',),
            reference_trains='all',
            own_domain=False,
            residual=True,
            style_weight=0.3,
            cycle_weight=1.0,
            matching_weight=0.5,
            diversity_weight=2.0,
            diversity_limit=0.1,
            diversity_images=100_000_000,
            r1_weight=0.5,
            regularize_every=8,
            width=32,
            max_width=128,
            downsamplings=1,
            style_encoder_width=16,
            style_size=16,
        )
    config.optimizer.learning_rate = 1e-3 if arguments.method == 'stargan_v2' else 7e-4
    if arguments.method != 'stargan_v2':
        config.optimizer.b1 = 0.5
    config.train_images = IMAGES[arguments.size][arguments.method]
    config.data.source = arguments.data
    config.data.domains = DOMAINS[arguments.data]
    config.data.augmentation = 'resize_crop'
    config.log_every_images = 480  # at a step with penalties
    config.sample_every_images = config.checkpoint_every_images = config.train_images // 4
    # On pets the truth in the style of the target image is known.
    reference = arguments.method == 'stargan_v2' and arguments.data == 'pets'
    config.evaluation.protocols = ('reference_truth' if reference else 'paired_test',)
    return config
