"""Any TensorFlow Datasets builder with images, read without TensorFlow.

Data are prepared as array_record, the format that TFDS reads without TensorFlow. Some builders use TensorFlow for
preparing; their data can be prepared on any machine and copied.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.download import download_manager, extractor
from tensorflow_datasets.core.download import util as download_util

from gan_transfer import storage
from gan_transfer.data import check, records
from gan_transfer.data.dataset import Dataset, Faults, Images, MemoryBudget, select_domains
from gan_transfer.data.decode import read_image
from gan_transfer.data.progress import track

TFDS_PREFIX = 'tfds:'
TEST_SPLITS = ('test', 'validation', 'val')
HELD_OUT = (
    'train[:90%]',
    'train[90%:]',
)  # training and test images where a builder has a training split only
# What preparing meets outside of this program; a file that must be fetched by hand and is not there is an assertion.
_NOT_PREPARED = (
    AssertionError,
    ImportError,
    download_util.DownloadError,
    download_manager.NonMatchingChecksumError,
    extractor.ExtractError,
    extractor.UnsafeArchiveError,
)


def prepare_tfds(source: str, data_dir: Path) -> None:
    """Downloads and prepares `tfds:<builder>/<config>` into `data_dir`, unless that has been done.

    Raises:
      ValueError: for an unknown builder; where a package that it needs for preparing, as TensorFlow, is not installed,
        or its files cannot be downloaded.
    """
    builder = _builder(source, data_dir)
    try:
        builder.download_and_prepare(file_format='array_record')
    except _NOT_PREPARED as error:
        if isinstance(error, ImportError) and 'tensorflow' in f'{error.name} {error}'.lower():
            raise ValueError(
                f'{source} needs TensorFlow for preparing (not for training): '
                'pip install tensorflow-cpu, then prepare again'
            ) from None
        raise ValueError(f'data.source={source!r} cannot be prepared: {storage.first_line(error)}') from error


def open_tfds(
    source: str,
    cache: Path,
    domains: Sequence[str] = (),
    *,
    background: Sequence[int],
    max_corrupt_share: float,
    threads: int,
) -> Dataset:
    """Opens a prepared `tfds:<builder>/<config>` as a data set.

    - Splits trainA and trainB (cycle_gan): domains A and B with testA and testB.
    - Otherwise the domains are the names of the builder's first label, from the split 'train'; test images are those of
      'test' or 'validation', or else the last tenth of 'train'. Images without a label are left out.

    Every image is decoded once to see that it can be; the result is kept in `cache`.

    Args:
      cache: its folder `tfds` is that of TFDS.
      domains: names, in the order of their labels; empty is all.
      background: RGB that transparent images are put on.
      max_corrupt_share: of a domain's images that may be unreadable.

    Raises:
      ValueError: for an unknown builder or domain, data that are not prepared, splits or features that do not fit, too
        many unreadable images.
    """
    data_dir = cache / 'tfds'
    builder = _builder(source, data_dir)
    splits = tuple(builder.info.splits)
    if not splits:
        raise ValueError(f'{source} is not prepared in {data_dir}: run with --mode=prepare first')
    image_name = _feature(builder, tfds.features.Image, source)
    endings = [name.removeprefix('train') for name in splits if name.startswith('train') and name != 'train']
    folder, faults, memory = Path(builder.data_path), Faults(), MemoryBudget()
    forget = functools.partial(check.forget, folder, cache)
    open_split = functools.partial(
        _Split, builder, source, image_name, tuple(background), faults, memory, forget
    )
    if len(endings) > 1:
        names = select_domains(domains, sorted(endings), source)
        train = {name: open_split(f'train{name}').images() for name in names}
        tests = {name: f'test{name}' for name in names if f'test{name}' in splits}
        test = {name: open_split(split).images() for name, split in tests.items()}
    elif 'train' in splits:
        train, test = _by_label(builder, source, splits, domains, open_split)
        names = tuple(train)
    else:
        raise ValueError(
            f"{source} has neither a split 'train' nor trainA and trainB; it has {', '.join(splits)}"
        )
    for name in names:
        if not len(train[name]):
            raise ValueError(f'{source} has no training images of the domain {name!r}')
    empty = Images((), _no_image, faults, memory)
    test = {name: test.get(name, empty) for name in names}
    unreadable = check.find_unreadable_records(folder, (*train.values(), *test.values()), cache, threads)
    test = check.note_unreadable(unreadable, train, test, max_corrupt_share)
    return Dataset(
        name=source,
        domains=tuple(names),
        train=train,
        test=test,
        paired_test=False,
        licence=builder.info.redistribution_info.license
        or f'not stated; see {builder.info.homepage or source}',
        faults=faults,
    )


def _builder(source: str, data_dir: Path) -> tfds.core.DatasetBuilder:
    name, _, config = source.removeprefix(TFDS_PREFIX).partition('/')
    try:
        known = [] if not config else [entry.name for entry in tfds.builder_cls(name).BUILDER_CONFIGS]
        if not known or config.split(':')[0] in known:
            return tfds.builder(source.removeprefix(TFDS_PREFIX), data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise ValueError(f'data.source={source!r}: TFDS has no builder {name!r}') from None
    except Exception as error:
        # Of any type: it parses the name, imports modules, and reads what it has written in data_dir.
        raise ValueError(
            f'data.source={source!r} cannot be opened in {data_dir}: {storage.first_line(error)}'
        ) from error
    raise ValueError(f'data.source={source!r}: {name} has no config {config!r}; it has {", ".join(known)}')


def _feature(builder: tfds.core.DatasetBuilder, kind: type, source: str) -> str:
    for name, feature in builder.info.features.items():
        if isinstance(feature, kind):
            return name
    raise ValueError(f'{source} has no {kind.__name__} feature; it has {", ".join(builder.info.features)}')


def _no_image(index: int) -> np.ndarray:
    raise ValueError(f'no image {index}')


class _Split:
    """The records of one split, with images left encoded until they are asked for."""

    def __init__(
        self,
        builder: tfds.core.DatasetBuilder,
        source: str,
        image_name: str,
        background: tuple[int, ...],
        faults: Faults,
        memory: MemoryBudget,
        forget: Callable[[str], None],
        split: str,
    ):
        self._folder = Path(builder.data_path)
        try:
            with records.reading(self._folder):
                self.records = builder.as_data_source(
                    split=split, decoders={image_name: tfds.decode.SkipDecoding()}
                )
        except NotImplementedError as error:
            raise ValueError(
                f'{source} is prepared in a format that needs TensorFlow; prepare it anew: {error}'
            ) from None
        self._split, self._image_name, self._background = split, image_name, background
        self._faults, self._memory, self._forget = faults, memory, forget

    def images(self, positions: Sequence[int] | None = None) -> Images:
        """Returns the images at `positions`, or all."""
        positions = range(len(self.records)) if positions is None else positions
        keys = [f'{self._split}/{position}' for position in positions]
        read = functools.partial(self._read, positions)
        return Images(keys, read, self._faults, self._memory, self._forget)

    def _read(self, positions: Sequence[int], index: int) -> np.ndarray:
        content = records.read(self._folder, self.records, positions[index], self._image_name)
        return read_image(content, self._background)

    def labels(self, label_name: str) -> np.ndarray:
        """Returns the label of every record, int64; -1 is none."""
        count, text = len(self.records), f'reading labels of {self._split}'
        labels = (records.read(self._folder, self.records, i, label_name) for i in range(count))
        return np.array([int(label) for label in track(labels, text, count)], np.int64)


def _by_label(
    builder: tfds.core.DatasetBuilder,
    source: str,
    splits: Sequence[str],
    domains: Sequence[str],
    open_split: Any,
) -> tuple[dict[str, Images], dict[str, Images]]:
    label_name = _feature(builder, tfds.features.ClassLabel, source)
    available = tuple(builder.info.features[label_name].names)
    names = select_domains(domains, available, source)

    def divide(split: str) -> dict[str, Images]:
        part = open_split(split)
        labels = part.labels(label_name)
        return {name: part.images(np.flatnonzero(labels == available.index(name)).tolist()) for name in names}

    for split in TEST_SPLITS:
        if split in splits:
            test = divide(split)
            if any(len(images) for images in test.values()):  # the labels of some test splits are secret
                return divide('train'), test
    logging.info('%s has no labelled test split: the last tenth of train is held out', source)
    return divide(HELD_OUT[0]), divide(HELD_OUT[1])
