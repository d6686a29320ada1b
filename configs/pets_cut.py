"""A cat in a dog's style: CUT on drawn pets at 64 px, unpaired, on a CPU. `emoji_race.py` on other data.

    python launch.py --config=configs/pets_cut.py --workdir=runs/pets_cut

Not measured yet.
"""

from configs import common, emoji_race


def get_config(argument=''):
    common.parse(argument)
    config = emoji_race.get_config()
    config.data.source = 'pets'
    config.data.domains = ('cat', 'dog')
    config.data.flip = False  # backgrounds have a left and a right
    return config
