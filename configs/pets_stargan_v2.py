"""StarGAN v2 (https://arxiv.org/abs/1912.01865) on drawn pets at 64 px: a cat in a dog's style, with its truth.

    python launch.py --config=configs/pets_stargan_v2.py --workdir=runs/pets_stargan_v2

The recipe of `emoji_stargan_v2.py` with two thirds of its images: an hour of a CPU core. Not measured yet.
"""

from configs import common, emoji_stargan_v2

TRAIN_IMAGES = 24_000


def get_config(argument=''):
    common.parse(argument)
    config = emoji_stargan_v2.get_config()
    config.data.source = 'pets'
    config.data.flip = False  # backgrounds have a left and a right
    config.train_images = TRAIN_IMAGES
    config.optimizer.decay_start_images = TRAIN_IMAGES // 2
    return config
