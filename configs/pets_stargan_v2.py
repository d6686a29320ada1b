"""StarGAN v2 (https://arxiv.org/abs/1912.01865) on drawn pets at 64 px: a cat in a dog's style, with its truth.

    python launch.py --config=configs/pets_stargan_v2.py --workdir=runs/pets_stargan_v2

The recipe of `emoji_stargan_v2.py` with a generator that adds to the source and the game on VGG16's features, without
which nothing is to be seen after 4,000 images. Less weight on matching: the target image's background is not its style.
"""

from configs import common, emoji_stargan_v2

TRAIN_IMAGES = 8_000


def get_config(argument=''):
    common.parse(argument)
    config = emoji_stargan_v2.get_config()
    config.method.update(residual=True, feature_network='vgg16', feature_weight=1.0, matching_weight=1.0)
    config.data.source = 'pets'
    config.data.flip = False  # backgrounds have a left and a right
    config.train_images = TRAIN_IMAGES
    config.optimizer.decay_start_images = TRAIN_IMAGES // 2
    return config
