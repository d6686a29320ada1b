"""CUT or CycleGAN on drawn pets, cats to dogs, at 128 px: minutes of one GPU.

    python launch.py --config=configs/pets_gpu.py:method=cut --workdir=runs/pets_gpu --mode=train

`method` is `cut` or `cyclegan`. The recipe of `equal_time.py` with wider networks, in bfloat16, on twice the pets; the
discriminator sees a whole head at once. CUT has `pets_cut.py`'s second game on features of VGG16, and its skips.
`docs/results.md` has the numbers: CycleGAN's of the whole run, CUT's of 18,000 of its 64,000 images, 90 s of steps.
"""

from configs import common, equal_time

# What fits into three or four minutes of an H100 that has other work too.
IMAGES = {'cut': 64_000, 'cyclegan': 17_600}


def get_config(argument=''):
    arguments = common.parse(argument, method='cut')
    config = equal_time.get_config(f'method={arguments.method},data=pets,size=64')
    config.method.update(
        generator_width=48, generator_blocks=6, discriminator_width=64, discriminator_depth=4, r1_weight=1.0
    )
    if arguments.method == 'cut':
        config.method.update(
            skips=True,
            feature_network='vgg16',
            feature_weight=5.0,
            # Not the first layer, which holds on to outlines.
            nce_layers=('down_1', 'block_0', 'block_5'),
            projection_width=128,
        )
    config.image_size = 128
    config.compute_dtype = 'bfloat16'
    config.batch_size = 8
    config.train_images = IMAGES[arguments.method]
    config.optimizer.learning_rate = 4e-4
    config.average_decay = 0.998
    config.data.count = 6_000
    config.data.threads = 8
    config.log_every_images = 1_600  # at a step with penalties
    config.sample_every_images = config.checkpoint_every_images = config.train_images // 4
    return config
