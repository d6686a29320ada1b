"""CUT on drawn pets, cats to dogs, 64 px: heads change their shape, in an hour and a half of a CPU core.

    python launch.py --config=configs/pets_cut.py --workdir=runs/pets_cut

`equal_time.py`'s CUT with what `emoji_race.py` has besides: a second discriminator on features of VGG16, which sees
whole heads, a decoder that sees the encoder's features, and no contrast in the first layer, which holds on to outlines.
The sum of source and output is not clipped: on pets, which have little black and white, that harms.
"""

from configs import common, equal_time


def get_config(argument=''):
    common.parse(argument)
    config = equal_time.get_config('method=cut,data=pets,size=64')
    config.method.update(
        skips=True, feature_network='vgg16', feature_weight=5.0, nce_layers=('down_1', 'block_0', 'block_3')
    )
    config.optimizer.learning_rate = 5e-4
    config.train_images = 24_000
    config.sample_every_images = config.checkpoint_every_images = 4_000
    return config
