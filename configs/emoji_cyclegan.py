"""CycleGAN (https://arxiv.org/abs/1703.10593) between two vendors' emoji at 64 px, on a CPU.

    python launch.py --config=configs/emoji_cyclegan.py --workdir=runs/emoji_cyclegan --mode=train
    python launch.py --config=configs/emoji_cyclegan.py:line --workdir=runs/emoji_line --mode=train

`line` takes OpenMoji's line art and its coloured drawings, where the truth is known to the pixel.

Half an hour of one CPU core (3.6 images/s). Measured, means of seeds 0 and 1, 338 test images, Twemoji to OpenMoji and
back: KID by VGG16 0.22 and 0.38 (untouched source 2.45), LPIPS by AlexNet 0.260 and 0.310 (0.374). Colour to line art:
absolute error 0.029 (0.106), and back 0.101.

Differs from the paper by what `emoji_race.py` adds to CUT: generators add to their source, are clipped to what can be
saved, and their decoders see the encoders' features; second discriminators judge features of VGG16. All networks blur
where they resample, and are small; the cycle has less weight, and there is no identity pass. Batches are of four, the
learning rate is two and a half times the paper's, and weights are averaged.
"""

from configs import common


def get_config(argument=''):
    arguments = common.parse(argument, line=False)
    config = common.get_config()
    config.method = common.method(
        'cyclegan',
        generator_width=16,
        generator_blocks=6,
        discriminator_width=16,
        antialias=True,
        residual=True,
        clip=True,
        skips=True,
        cycle_weight=3.0,
        identity_weight=0.0,
        feature_network='vgg16',
        feature_weight=10.0,
    )
    config.image_size = 64
    config.batch_size = 4
    config.train_images = 6_000
    config.data.source = 'emoji'
    config.data.domains = ('openmoji_line', 'openmoji') if arguments.line else ('twemoji', 'openmoji')
    config.data.augmentation = 'resize_crop'
    config.optimizer.learning_rate = 5e-4
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    config.average_decay = 0.99
    config.log_every_images = 400
    config.sample_every_images = 1_000
    config.checkpoint_every_images = 1_000
    return config
