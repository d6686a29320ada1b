"""CycleGAN (https://arxiv.org/abs/1703.10593) on two folders of your own, or on two of the built-in domains.

    python launch.py --config=configs/cyclegan.py:size=128 --workdir=runs/mine \
        --config.data.source=folder --config.data.path=DATA
    python launch.py --config=configs/cyclegan.py --workdir=runs/cyclegan --config.data.domains=twemoji,openmoji

Arguments: `size` in px, `tiny` for networks that only show that everything runs.
"""

from configs import common


def get_config(argument=''):
    arguments = common.parse(argument, size=64, tiny=False)
    config = common.get_config()
    width = 8 if arguments.tiny else 64
    # Section 7 of the paper: 6 residual blocks up to 128 px, 9 above.
    blocks = 2 if arguments.tiny else 6 if arguments.size <= 128 else 9
    config.method = common.method(
        'cyclegan', generator_width=width, generator_blocks=blocks, discriminator_width=width
    )
    config.image_size = arguments.size
    config.batch_size = 4
    config.train_images = 200_000
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    return config
