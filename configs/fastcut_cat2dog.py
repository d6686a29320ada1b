"""FastCUT on AFHQ's cats and dogs, every value as published (https://arxiv.org/abs/2007.15651, section 4).

    python launch.py --config=configs/fastcut_cat2dog.py --workdir=runs/fastcut_cat2dog --config.data.path=afhq

Data and accelerator as for `cut_cat2dog.py`; half of its images, and no identity pass: less than half of its time.
Expected: a Fréchet distance of about 94, as the original measures.
"""

from configs import common, cut, cut_cat2dog

EPOCH = cut_cat2dog.EPOCH


def get_config(argument=''):
    common.parse(argument)
    config = cut_cat2dog.get_config()
    config.method.update(cut.FAST)
    config.train_images = 200 * EPOCH
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') * 3 // 4
    return config
