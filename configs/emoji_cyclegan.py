"""CycleGAN (https://arxiv.org/abs/1703.10593) between two vendors' emoji at 64 px, on a CPU.

    python launch.py --config=configs/emoji_cyclegan.py --workdir=runs/emoji_cyclegan
    python launch.py --config=configs/emoji_cyclegan.py:line --workdir=runs/emoji_line --mode=train

`line` takes OpenMoji's line art and its coloured drawings, where the truth is known to the pixel.

Not measured yet; an hour or two of two CPU cores.

Differs from the paper: a quarter of its generator's width and half of its discriminator's, batches of two, a fifth of
its identity weight, five times its learning rate, and a weight average.
"""

from configs import common


def get_config(argument=''):
    arguments = common.parse(argument, line=False)
    config = common.get_config()
    config.method = common.method(
        'cyclegan', generator_width=16, generator_blocks=6, discriminator_width=32, identity_weight=1.0
    )
    config.image_size = 64
    config.batch_size = 2
    config.train_images = 100_000
    config.data.source = 'emoji'
    config.data.domains = ('openmoji_line', 'openmoji') if arguments.line else ('twemoji', 'openmoji')
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    config.average_decay = 0.999
    config.sample_every_images = 10_000
    config.checkpoint_every_images = 10_000
    return config
