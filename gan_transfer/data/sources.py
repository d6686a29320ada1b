"""Opens and prepares the source that a config names."""

from pathlib import Path

from absl import logging
from ml_collections import ConfigDict

from gan_transfer.data import emoji, glyphs, pets
from gan_transfer.data.artwork import Artwork, folder_name, open_artwork
from gan_transfer.data.dataset import Dataset
from gan_transfer.data.decode import WHITE
from gan_transfer.data.folder import open_folder
from gan_transfer.data.tfds_source import TFDS_PREFIX, open_tfds, prepare_tfds
from gan_transfer.run_config import cache_folder

SOURCES = ('emoji', 'glyphs', 'pets', 'folder', 'tfds:<builder>/<config>')
ARTWORK = {'emoji': emoji.artwork, 'glyphs': glyphs.artwork, 'pets': pets.artwork}


def open_dataset(config: ConfigDict) -> Dataset:
    """Opens the data set of `config.data`; artwork that is not prepared yet is prepared first.

    Raises:
      ValueError: for an unknown source or domain, a missing folder or package, data that must be prepared first, too
        many unreadable images.
    """
    data, cache = config.data, Path(cache_folder(config))
    if data.source in ARTWORK:
        if tuple(data.background) != WHITE:
            # No error: images to translate may have such pixels.
            logging.warning(
                'data.background is %s, for transparent pixels of image files; drawings of %s have none',
                *(tuple(data.background), data.source),
            )
        return open_artwork(
            _artwork(data), config.image_size, cache, data.domains, share_keys=data.share_keys
        )
    reading = {name: data[name] for name in ('background', 'max_corrupt_share', 'threads')}
    if data.source == 'folder':
        return open_folder(data.path, cache, data.domains, **reading)
    if data.source.startswith(TFDS_PREFIX):
        return open_tfds(data.source, cache, data.domains, **reading)
    raise ValueError(f'unknown data.source {data.source!r}; there are {", ".join(SOURCES)}')


def _artwork(data: ConfigDict) -> Artwork:
    make = ARTWORK[data.source]
    return make(data.count) if data.source == 'pets' else make()


def prepare(config: ConfigDict) -> Dataset:
    """Does what has to be done once before training, and prints what there is, where, and under which licence.

    Artwork is rendered, the data of a TFDS builder are downloaded, the images of both folders and builders are
    checked. Returns the data set.

    Raises:
      ValueError: as `open_dataset`; where a builder needs TensorFlow for preparing.
    """
    cache = Path(cache_folder(config))
    source = config.data.source
    if source.startswith(TFDS_PREFIX):
        prepare_tfds(source, cache / 'tfds')
    dataset = open_dataset(config)
    print(f'{dataset.name} is ready')
    if source in ARTWORK:
        print(f'prepared: {cache / folder_name(_artwork(config.data), config.image_size)}')
    elif source.startswith(TFDS_PREFIX):
        print(f'prepared: {cache / "tfds" / source.removeprefix(TFDS_PREFIX)}')
    if source not in ARTWORK:
        print(f'checked: every image; the result is kept in {cache}')
    for domain in dataset.domains:
        print(
            f'{domain}: {len(dataset.train[domain])} training images, {len(dataset.test[domain])} test images'
        )
    if dataset.faults.count:
        print(f'unreadable: {dataset.faults.count}, {", ".join(dataset.faults.names)}')
    print(f'licence: {dataset.licence or "that of your images"}')
    return dataset
