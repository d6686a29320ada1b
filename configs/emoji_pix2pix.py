"""pix2pix (https://arxiv.org/abs/1611.07004) from line art to colour at 64 px, from pairs, on a CPU.

    python launch.py --config=configs/emoji_pix2pix.py --workdir=runs/emoji_pix2pix

22 minutes of one CPU core (85 images/s). Measured, seed 0, 338 test images: absolute error 0.1005 (the line art itself:
0.106), SSIM 0.769 (0.833); the same twice.

Differs from the paper: a quarter of its width, batches of four, twice its learning rate, less weight on the L1 term,
and a weight average.
"""

from configs import common


def get_config(argument=''):
    common.parse(argument)
    config = common.get_config()
    config.method = common.method(
        'pix2pix', l1_weight=50.0, generator_width=16, generator_depth=6, discriminator_width=16
    )
    config.image_size = 64
    config.batch_size = 4
    config.train_images = 100_000
    config.data.source = 'emoji'
    config.data.domains = ('openmoji_line', 'openmoji')
    config.data.share_keys = True
    config.optimizer.learning_rate = 4e-4
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    config.average_decay = 0.999
    config.sample_every_images = 10_000
    config.checkpoint_every_images = 10_000
    return config
