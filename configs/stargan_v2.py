"""StarGAN v2 (https://arxiv.org/abs/1912.01865) on folders of your own, one per domain, or on the built-in emoji.

    python launch.py --config=configs/stargan_v2.py:size=128 --workdir=runs/mine \
        --config.data.source=folder --config.data.path=DATA
    python launch.py --config=configs/stargan_v2.py --workdir=runs/stargan_v2

Arguments: `size` in px (a power of two), `width` in channels at full size, `tiny` for networks that only show that
everything runs.
"""

from configs import common


def get_config(argument=''):
    arguments = common.parse(argument, size=64, width=32, tiny=False)
    config = common.get_config()
    config.method = common.method('stargan_v2', width=arguments.width, max_width=8 * arguments.width)
    if arguments.tiny:
        config.method.update(width=8, max_width=16, mapping_width=16, style_size=8, latent_length=4)
    config.image_size = arguments.size
    config.batch_size = 8
    config.train_images = 800_000
    config.method.diversity_images = config.get_oneway_ref('train_images')
    config.data.augmentation = 'random_resized_crop'
    config.optimizer.learning_rate = 1e-4
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 1e-4
    config.optimizer.networks = {'mapping_network': {'learning_rate': 1e-6}}
    config.average_decay = 0.999
    return config
