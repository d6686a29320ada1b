"""StarGAN v2 on drawn pets, cats and dogs both ways: species, and fur by a target image or a latent code.

    python launch.py --config=configs/pets_stargan_v2.py --workdir=runs/pets_stargan_v2

32 px, forty minutes of a CPU core; `:size=64` an hour and a quarter of two. `equal_time.py`'s StarGAN v2 with the
paper's two passes, a second game on features of VGG16 and the quickstart's skips and norms. Nothing but the games says
what of a target image is style: the generator finds that furs may have any colour, and backgrounds few.
"""

from configs import common, equal_time
from gan_transfer.errors import UserError

IMAGES = {32: 12_000, 64: 16_000}  # size -> images of a training


def get_config(argument=''):
    arguments = common.parse(argument, size=32)
    if arguments.size not in IMAGES:
        raise UserError(f'unknown size {arguments.size!r}; choices: {", ".join(map(str, IMAGES))}')
    config = equal_time.get_config('method=stargan_v2,data=pets')
    config.method.update(
        passes=('latent', 'reference'),
        # As in the paper: in the reference pass the style encoder would learn to give the same safe look to all.
        reference_trains='generator',
        matching_weight=0.0,
        style_weight=3.0,
        diversity_weight=5.0,
        diversity_limit=0.15,
        diversity_images=200_000,
        cycle_weight=2.0,
        # Few numbers, so that each is soon seen in the image, and read from it.
        latent_length=4,
        style_size=4,
        feature_network='vgg16',
        feature_weight=2.0,
        skips=True,
        pixel_norm=True,
    )
    config.optimizer.learning_rate = 5e-4
    # The mapping network stays nearly as it is, as in the paper: it could make all latent codes alike.
    config.optimizer.networks = {
        'mapping_network': {'learning_rate': 1e-6},
        'style_encoder': {'learning_rate': 1e-3},
    }
    if arguments.size == 64:
        config.image_size = 64
        config.method.update(downsamplings=2, r1_weight=1.0)
    config.train_images = IMAGES[arguments.size]
    config.sample_every_images = config.checkpoint_every_images = config.train_images // 4
    return config
