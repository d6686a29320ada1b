"""CUT (https://arxiv.org/abs/2007.15651) from coloured drawings to line art at 64 px, unpaired, on a CPU.

    python launch.py --config=configs/emoji_cut.py --workdir=runs/emoji_cut
    python launch.py --config=configs/emoji_cut.py:fast --workdir=runs/emoji_fastcut --mode=train

20 minutes of two CPU cores (14 images/s). Measured, seed 0, 338 test images: absolute error 0.0579 (the colours
themselves: 0.106), SSIM 0.884 (0.833). FastCUT has not been measured.

`fast` is FastCUT. Differs from the paper: a quarter of its widths, six residual blocks, batches of two, five times its
learning rate, a larger gain of the initial weights, and a weight average. The learning rate decays from half of the
training on with `fast` too, where FastCUT and `cut.py:fast` decay from three quarters.
"""

from configs import common, cut


def get_config(argument=''):
    arguments = common.parse(argument, fast=False)
    config = common.get_config()
    config.method = common.method(
        'cut',
        generator_width=16,
        generator_blocks=6,
        discriminator_width=16,
        projection_width=64,
        initial_gain=0.1,
        **(cut.FAST if arguments.fast else {}),
    )
    config.image_size = 64
    config.batch_size = 2
    config.train_images = 16_000
    config.data.source = 'emoji'
    config.data.domains = ('openmoji', 'openmoji_line')
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    config.average_decay = 0.998
    config.log_every_images = 500
    config.sample_every_images = 2_000
    config.checkpoint_every_images = 4_000
    return config
