"""CUT (https://arxiv.org/abs/2007.15651), first domain to second: two folders of your own, or two built-in domains.

    python launch.py --config=configs/cut.py:size=128 --workdir=runs/mine \
        --config.data.source=folder --config.data.path=DATA
    python launch.py --config=configs/cut.py:fast --workdir=runs/fastcut --config.data.domains=openmoji_line,openmoji

Arguments: `size` in px, `fast` for FastCUT, `tiny` for networks that only show that everything runs.
"""

from configs import common

# What FastCUT changes (section 4 of the paper): a stronger contrast in place of the identity pass, and mirrored inputs.
FAST = {'nce_weight': 10.0, 'identity': False, 'mirror': True}


def get_config(argument=''):
    arguments = common.parse(argument, size=64, fast=False, tiny=False)
    config = common.get_config()
    config.method = common.method('cut', **(FAST if arguments.fast else {}))
    if arguments.tiny:
        tiny = {'generator_width': 8, 'generator_blocks': 2, 'discriminator_width': 8, 'projection_width': 32}
        config.method.update(tiny, nce_layers=('padded', 'down_0', 'down_1', 'block_0'))
    config.image_size = arguments.size
    config.batch_size = 4
    config.train_images = 200_000
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = (
        config.get_oneway_ref('train_images') * (3 if arguments.fast else 2) // 4
    )
    return config
