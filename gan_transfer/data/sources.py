"""Opens and prepares the source that a config names."""

import os
from pathlib import Path

from ml_collections import ConfigDict

from gan_transfer.data import emoji, glyphs
from gan_transfer.data.artwork import Artwork, open_artwork
from gan_transfer.data.dataset import Dataset

SOURCES = ('emoji', 'glyphs', 'folder', 'tfds:<builder>/<config>')
CACHE_VARIABLE = 'GAN_TRANSFER_CACHE'


def open_dataset(config: ConfigDict) -> Dataset:
    """Opens the data set of `config.data`; artwork that is not prepared yet is prepared first.

    Raises:
      ValueError: for an unknown source or domain, a missing folder or package, too many unreadable images.
    """
    data, cache = config.data, cache_folder(config)
    artwork = _artwork(data.source)
    if artwork is not None:
        return open_artwork(artwork, config.image_size, cache, data.domains, share_keys=data.share_keys)
    raise ValueError(f'unknown data.source {data.source!r}; there are {", ".join(SOURCES)}')


def cache_folder(config: ConfigDict) -> Path:
    """Returns where prepared data is: data.cache, else $GAN_TRANSFER_CACHE, else ~/.cache/gan_transfer."""
    folder = config.data.cache or os.environ.get(CACHE_VARIABLE) or '~/.cache/gan_transfer'
    return Path(folder).expanduser()


def _artwork(source: str) -> Artwork | None:
    if source == 'emoji':
        return emoji.artwork()
    if source == 'glyphs':
        return glyphs.artwork()
    return None


def prepare(config: ConfigDict) -> None:
    """Does what has to be done once before training, and prints what there is, where, and under which licence."""
    dataset = open_dataset(config)
    print(f'{dataset.name}: {cache_folder(config)}')
    for domain in dataset.domains:
        print(f'  {domain}: {len(dataset.train[domain])} training, {len(dataset.test[domain])} test images')
    print(f'licence: {dataset.licence}')
