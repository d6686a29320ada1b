"""CUT on horse2zebra, every value as published (https://arxiv.org/abs/2007.15651, appendix C).

    python launch.py --config=configs/cut_horse2zebra.py --mode=prepare
    python launch.py --config=configs/cut_horse2zebra.py --workdir=runs/cut_horse2zebra

The download is 117 MB, and preparing it needs `pip install tensorflow-cpu` once. Wants an accelerator: two CPU cores
would take about six weeks, at four times the 1.7 s that a step takes them at 128 px.
Expected: a Fréchet distance of about 45 (120 translated horses against 140 zebras), as the original measures.
"""

from configs import common

EPOCH = 1334  # the larger of the two training sets, zebras; the original counts its epochs by it


def get_config(argument=''):
    common.parse(argument)
    config = common.get_config()
    config.method = common.method(
        'cut',
        adversarial='lsgan',
        nce_weight=1.0,
        identity=True,
        mirror=False,
        nce_layers=('padded', 'down_0', 'down_1', 'block_0', 'block_4'),
        patches=256,
        temperature=0.07,
        projection_width=256,
        antialias=True,
        generator_width=64,
        generator_blocks=9,
        discriminator_width=64,
        discriminator_depth=3,
        initial_gain=0.02,
    )
    config.image_size = 256
    config.batch_size = 1
    config.train_images = 400 * EPOCH
    config.data.source = 'tfds:cycle_gan/horse2zebra'
    config.data.augmentation = 'resize_crop'
    config.data.resize_ratio = 286 / 256
    config.data.flip = True
    config.optimizer.learning_rate = 2e-4
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.999
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    config.log_every_images = 500
    config.sample_every_images = 5 * EPOCH
    config.checkpoint_every_images = 5 * EPOCH
    config.evaluate_batch_size = 8
    # Need the file of FID's Inception: --config.evaluation.inception=PATH.
    config.evaluation.protocols = ('cut_test_test', 'clean_test_test')
    config.evaluation.counts = (120, 140)
    return config
