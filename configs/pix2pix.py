"""pix2pix (https://arxiv.org/abs/1611.07004) on pairs of your own, or on two of the built-in domains: first to second.

    python launch.py --config=configs/pix2pix.py:size=256 --workdir=runs/mine \
        --config.data.source=folder --config.data.path=DATA --config.data.domains=B,A
    python launch.py --config=configs/pix2pix.py --workdir=runs/pix2pix \
        --config.data.share_keys=True --config.data.domains=openmoji_line,openmoji

Arguments: `size` in px, a power of two from 32 on; `tiny` for networks that only show that everything runs.
"""

from configs import common


def get_config(argument=''):
    arguments = common.parse(argument, size=64, tiny=False)
    config = common.get_config()
    # Down to a single place, as the paper's (8 halvings at 256 px).
    config.method = common.method('pix2pix', generator_depth=max(arguments.size.bit_length() - 1, 2))
    if arguments.tiny:
        config.method.update(generator_width=8, discriminator_width=8)
    config.image_size = arguments.size
    config.batch_size = 4
    config.train_images = 100_000
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    return config
