"""CUT on AFHQ's cats and dogs, every value as published (https://arxiv.org/abs/2007.15651, appendix C).

    python launch.py --config=configs/cut_cat2dog.py --workdir=runs/cut_cat2dog --config.data.path=afhq

`afhq` is the folder of StarGAN v2's archive (its first version): `train/cat`, `train/dog`, `val/...`.
Wants an accelerator: four times the images of `cut_horse2zebra.py`.
Expected: a Fréchet distance of about 76 (500 translated cats against 500 dogs), as the original measures.
"""

from configs import common, cut_horse2zebra

EPOCH = 5153  # the larger of the two training sets, cats


def get_config(argument=''):
    common.parse(argument)
    config = cut_horse2zebra.get_config()
    config.train_images = 400 * EPOCH
    config.data.source = 'folder'
    config.data.path = 'afhq'
    config.data.domains = ('cat', 'dog')
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    config.sample_every_images = 2 * EPOCH
    config.checkpoint_every_images = 2 * EPOCH
    config.evaluation.counts = (500, 500)
    return config
