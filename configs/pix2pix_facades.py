"""pix2pix on facades, labels to photographs, every value as published (https://arxiv.org/abs/1611.07004, section 6).

The learning rate falls over the second half, as in the authors' PyTorch code.

    python launch.py --config=configs/pix2pix_facades.py --workdir=runs/facades --config.data.path=facades

`facades` is the folder of the published archive: `train`, `val`, `test` with photograph and labels side by side.
400 pairs, 200 times. Wants an accelerator, though not much of one: two CPU cores would take half a day, at twice the
0.3 s that a step takes them at 128 px.
"""

from configs import common

PAIRS = 400


def get_config(argument=''):
    common.parse(argument)
    config = common.get_config()
    config.method = common.method(
        'pix2pix',
        # The generator's loss of the original is -log D (section 3.3).
        adversarial='non_saturating',
        l1_weight=100.0,
        dropout=0.5,
        generator_width=64,
        generator_depth=8,
        discriminator_width=64,
        discriminator_depth=3,
        initial_deviation=0.02,
    )
    config.image_size = 256
    config.batch_size = 1
    config.train_images = 200 * PAIRS
    config.data.source = 'folder'
    config.data.path = 'facades'
    config.data.domains = ('B', 'A')  # labels are the right half of each picture
    config.data.augmentation = 'resize_crop'
    config.data.resize_ratio = 286 / 256
    config.data.flip = True
    config.optimizer.learning_rate = 2e-4
    config.optimizer.b1 = 0.5
    config.optimizer.b2 = 0.999
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    config.log_every_images = 500
    config.sample_every_images = 5 * PAIRS
    config.checkpoint_every_images = 20 * PAIRS
    config.evaluate_batch_size = 8
    return config
