"""Artwork that comes inside Python packages, rendered once into array_record and split by key.

Every key (a character) is drawn in every domain. A preparation renders all of them at one size through a TFDS builder;
which keys a domain may train on is decided when reading, so that one preparation serves every experiment.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.utils import tqdm_utils

from gan_transfer.data import records
from gan_transfer.data.dataset import Dataset, Faults, Images, MemoryBudget, select_domains
from gan_transfer.data.decode import read_image
from gan_transfer.data.in_processes import map_in_processes
from gan_transfer.data.progress import track

PREPARATION_VERSION = 1  # of the layout on disk that is common to all artwork
TEST_BUCKETS = (8, 9)  # of the ten that keys are hashed into
SPLIT = 'artwork'
UNFINISHED, LEFT_SECONDS = '.unfinished-', 3600


@dataclasses.dataclass(frozen=True)
class Artwork:
    """Where artwork comes from.

    Attributes:
      name: of the source, e.g. 'emoji'.
      domains: names in their order.
      packages: the distributions that hold the art or draw it; another version of one is another preparation.
      requirement: what `pip install` needs to be told when a package is missing.
      version: of the way of drawing; raise it when pixels change.
      licence: licence and credit of every domain.
      keys: returns all keys, sorted.
      render: (key, size in px) -> domain -> uint8 [size, size, 3]; of many keys other processes call it, which must be
        able to import it.
      aligned: pairs of domains whose drawings lie over one another.
      variant: whatever else the preparation depends on, for the name of its folder.
      truth: (key of a source, key of a target image, target domain, size in px) -> uint8 [size, size, 3], the true
        answer of the style transfer; None where it is not known.
      factors: (key, domain) -> what the drawing was made from, by name; None where it is not known.
    """

    name: str
    domains: tuple[str, ...]
    packages: tuple[str, ...]
    requirement: str
    version: int
    licence: str
    keys: Callable[[], list[str]]
    render: Callable[[str, int], dict[str, np.ndarray]]
    aligned: frozenset[frozenset[str]] = frozenset()
    variant: str = ''
    truth: Callable[[str, str, str, int], np.ndarray] | None = None
    factors: Callable[[str, str], dict[str, float | str | int]] | None = None


class ArtworkBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One record per key with its image in every domain, as lossless PNG."""

    name = 'artwork'
    VERSION = tfds.core.Version('1.0.0')
    MAX_SIMULTANEOUS_DOWNLOADS = 1

    def __init__(self, artwork: Artwork, image_size: int, keys: Sequence[str], **kwargs):
        self._artwork = artwork
        self._image_size = image_size
        self._keys = tuple(keys)
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        shape = (self._image_size, self._image_size, 3)
        images = {
            name: tfds.features.Image(shape=shape, encoding_format='png') for name in self._artwork.domains
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=f'{self._artwork.name} at {self._image_size} px',
            features=tfds.features.FeaturesDict({'key': tfds.features.Text(), **images}),
            license=self._artwork.licence,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # nothing is downloaded
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        draw = functools.partial(_draw, self._artwork.render, self._image_size)
        drawings = track(
            map_in_processes(draw, self._keys),
            f'{self._artwork.name} at {self._image_size} px',
            len(self._keys),
        )
        for key, images in zip(self._keys, drawings, strict=True):
            # TFDS would take plain bytes for a path.
            yield key, {'key': key, **{name: io.BytesIO(image) for name, image in images.items()}}


def _draw(render: Callable[[str, int], dict[str, np.ndarray]], size: int, key: str) -> dict[str, bytes]:
    """Draws a key in every domain, as PNG."""
    return {name: _to_png(image) for name, image in render(key, size).items()}


def _to_png(image: np.ndarray) -> bytes:
    done, data = cv2.imencode('.png', image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise RuntimeError(f'no PNG of an image of shape {image.shape}')
    return data.tobytes()


def folder_name(artwork: Artwork, image_size: int, limit: int = 0) -> str:
    """Returns the name of a preparation: everything that its pixels depend on.

    Raises:
      ValueError: if a package is not installed, with the command that installs it.
    """
    parts = [artwork.name, f'{image_size}px', f'v{PREPARATION_VERSION}.{artwork.version}']
    for package in artwork.packages:
        try:
            parts.append(f'{package}-{importlib.metadata.version(package)}')
        except importlib.metadata.PackageNotFoundError:
            raise ValueError(
                f'data.source={artwork.name!r} needs the package {package}: pip install {artwork.requirement}'
            ) from None
    if artwork.variant:
        parts.append(artwork.variant)
    if limit:
        parts.append(f'first{limit}')
    return '_'.join(parts)


def prepare_artwork(artwork: Artwork, image_size: int, cache: Path, limit: int = 0) -> Path:
    """Renders the artwork into `cache` unless that has been done, and returns the prepared folder.

    The folder appears under its name only when it is complete. Several processes may prepare at once: one of them wins.

    Args:
      limit: only so many keys, for tests; 0 is all.
    """
    final = cache / folder_name(artwork, image_size, limit)
    if final.exists():
        return final
    keys = artwork.keys()
    keys = keys[:limit] if limit else keys
    logging.info(
        'rendering %d keys x %d domains of %s at %d px, once, into %s',
        *(len(keys), len(artwork.domains), artwork.name, image_size, final),
    )
    cache.mkdir(parents=True, exist_ok=True)
    _remove_left(cache)
    unfinished = cache / f'{UNFINISHED}{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}'
    try:
        builder = ArtworkBuilder(artwork, image_size, keys, data_dir=unfinished, file_format='array_record')
        with _quiet_tfds(), records.writing(cache):
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        _move_into_place(Path(builder.data_path), final)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return final


def _remove_left(cache: Path) -> None:
    """Removes what killed processes of this host have left. Those of another container may seem gone: an hour later."""
    if not Path('/proc').exists():
        return
    for folder in cache.glob(f'{UNFINISHED}*'):
        host, *numbers = folder.name.removeprefix(UNFINISHED).rsplit('-', 2)
        if host != socket.gethostname() or len(numbers) != 2 or Path('/proc', numbers[0]).exists():
            continue
        with contextlib.suppress(FileNotFoundError):  # another process is faster
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob('*')))
            if time.time() - newest > LEFT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Our bar counts images and goes to stderr; TFDS would count shards and print about downloads."""
    before = tqdm_utils._active  # which TFDS tells nowhere else
    tfds.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(before)


def _move_into_place(complete: Path, final: Path) -> None:
    try:
        os.rename(complete, final)
    except OSError:
        if not final.exists():  # another process was faster, with the same result
            raise


def bucket(key: str) -> int:
    """Returns the bucket 0..9 of a key: its sha256 as a number, mod 10."""
    return _hash(key) % 10


def is_test(key: str) -> bool:
    return bucket(key) in TEST_BUCKETS


def share(key: str, num_domains: int) -> int:
    """Returns which of `num_domains` domains may train on a key; depends on nothing else."""
    return _hash(key) // 10 % num_domains


def _hash(key: str) -> int:
    return int(hashlib.sha256(key.encode()).hexdigest(), 16)


def open_artwork(
    artwork: Artwork,
    image_size: int,
    cache: Path,
    domains: Sequence[str] = (),
    *,
    share_keys: bool = False,
    limit: int = 0,
) -> Dataset:
    """Opens artwork as a data set, preparing it first when `cache` does not have it.

    Many keys are drawn by several processes; a script that may prepare data so needs `if __name__ == '__main__'`.

    Test keys (sha256 mod 10 is 8 or 9) are the same in every domain and in no domain's training set. Training keys
    are divided between the domains in use, so that no key is trained on in two of them. Where several keys are drawn
    alike, as some emoji are, a drawing may be in both all the same.

    Args:
      domains: names, in the order of their labels; empty is all.
      share_keys: every domain trains on all training keys.
      limit: only so many keys, for tests; 0 is all.

    Raises:
      ValueError: for an unknown domain or a missing package.
      OSError: where the prepared data is damaged.
    """
    names = select_domains(domains, artwork.domains, artwork.name)
    folder = prepare_artwork(artwork, image_size, cache, limit)
    decoders = {name: tfds.decode.SkipDecoding() for name in artwork.domains}
    with records.opening(folder):
        rows = tfds.builder_from_directory(folder).as_data_source(split=SPLIT, decoders=decoders)
    index = {records.read(folder, rows, i, 'key').decode(): i for i in range(len(rows))}
    test_keys = sorted(key for key in index if is_test(key))
    train_keys = sorted(key for key in index if not is_test(key))
    faults, memory = Faults(), MemoryBudget()

    def images(domain: str, keys: list[str]) -> Images:
        def read(i: int) -> np.ndarray:
            return read_image(records.read(folder, rows, index[keys[i]], domain))

        return Images(keys, read, faults, memory)

    train = {}
    for label, name in enumerate(names):
        keys = [key for key in train_keys if share_keys or share(key, len(names)) == label]
        train[name] = images(name, keys)
    return Dataset(
        name=artwork.name,
        domains=names,
        train=train,
        test={name: images(name, test_keys) for name in names},
        paired_test=True,
        licence=artwork.licence,
        faults=faults,
        paired_train=share_keys,
        aligned=artwork.aligned,
        truth=artwork.truth and functools.partial(_truth, artwork.truth, image_size),
        factors=artwork.factors,
    )


def _truth(
    draw: Callable[[str, str, str, int], np.ndarray],
    image_size: int,
    source_key: str,
    target_key: str,
    target_domain: str,
) -> np.ndarray:
    return draw(source_key, target_key, target_domain, image_size)
