"""FastCUT on horse2zebra, every value as published (https://arxiv.org/abs/2007.15651, section 4).

    python launch.py --config=configs/fastcut_horse2zebra.py --mode=prepare
    python launch.py --config=configs/fastcut_horse2zebra.py --workdir=runs/fastcut_horse2zebra

Data and accelerator as for `cut_horse2zebra.py`; half of its images, and no identity pass: less than half of its time.
Expected: a Fréchet distance of about 73, as the original measures.
"""

from configs import common, cut, cut_horse2zebra

EPOCH = cut_horse2zebra.EPOCH


def get_config(argument=''):
    common.parse(argument)
    config = cut_horse2zebra.get_config()
    config.method.update(cut.FAST)
    config.train_images = 200 * EPOCH
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') * 3 // 4
    return config
