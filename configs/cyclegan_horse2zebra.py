"""CycleGAN on horse2zebra, every value that of the original code (https://arxiv.org/abs/1703.10593, sections 4 and 7).

    python launch.py --config=configs/cyclegan_horse2zebra.py --mode=prepare
    python launch.py --config=configs/cyclegan_horse2zebra.py --workdir=runs/horse2zebra

The download is 117 MB, and preparing it needs `pip install tensorflow-cpu` once. Wants an accelerator: 11.4 M
parameters and 57 billion multiplications an image and generator.
Expected: a Fréchet distance of about 62 (120 translated horses against 140 zebras), that of the published weights;
CUT's paper has 77 (table 1), as trainings without the identity term come to.
"""

from configs import common

TRAIN_ZEBRAS = 1334  # the larger of the two training sets; the original counts its epochs by it


def get_config(argument=''):
    common.parse(argument)
    config = common.get_config()
    config.method = common.method(
        'cyclegan',
        adversarial='lsgan',
        cycle_weight=10.0,
        identity_weight=5.0,
        pool_size=50,
        generator_width=64,
        generator_blocks=9,
        discriminator_width=64,
        discriminator_depth=3,
        initial_deviation=0.02,
    )
    config.image_size = 256
    config.batch_size = 1
    config.train_images = 200 * TRAIN_ZEBRAS
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
    config.sample_every_images = 5 * TRAIN_ZEBRAS
    config.checkpoint_every_images = 5 * TRAIN_ZEBRAS
    config.evaluate_batch_size = 8
    # Need the file of FID's Inception: --config.evaluation.inception=PATH.
    config.evaluation.protocols = ('cut_test_test', 'clean_test_test')
    config.evaluation.counts = (120, 140)
    return config
