"""What every source of images turns into: named domains of images with random access."""

import dataclasses
import functools
import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from absl import logging

from gan_transfer import storage
from gan_transfer.errors import RunStopped

# The first images of a data set that fit in here are decoded once and kept; the others are decoded at every use.
# Data sets of the usual size at 64 px fit in whole, larger ones partly. It changes no value, only the time.
MEMORY_BYTES = 512 * 2**20


@dataclasses.dataclass(frozen=True)
class Example:
    """One image: `key` names it (code points or file name), `image` is uint8 [h, w, 3] RGB."""

    key: str
    image: np.ndarray


class Faults:
    """The images that cannot be read, by name; each is logged once."""

    def __init__(self):
        self._names: set[str] = set()

    def add(self, name: str, reason: str) -> None:
        if name not in self._names:
            self._names.add(name)
            logging.warning('unreadable image %s (%s): not used', name, reason)

    @property
    def names(self) -> tuple[str, ...]:
        """Sorted names of the unreadable images."""
        return tuple(sorted(self._names))

    @property
    def count(self) -> int:
        """Number of unreadable images."""
        return len(self._names)


class MemoryBudget:
    """Bytes of decoded images that may be kept, shared by the domains of a data set."""

    def __init__(self, limit: int = MEMORY_BYTES):
        self._left = limit
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Returns whether there is room for `size` bytes more, and if so takes it."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True


class Images:
    """The images of one domain and split: `len()` and `[i]`, from any thread.

    An image that is noted as unreadable is replaced by the next one that is not, so that `[i]` is always the same
    image; the key then is that of the image returned. No other image ever stands in: a run would go on with other
    samples than its repetition.

    Args:
      keys: name of each image.
      read: reads image number i as uint8 [h, w, 3]; ValueError when it can't be decoded.
      faults: where unreadable images are counted.
      memory: decides which decoded images are kept.
      forget: is told the key of an image that cannot be read any more, so that the next start looks at it again; None
        where no start looks at images.
    """

    def __init__(
        self,
        keys: Sequence[str],
        read: Callable[[int], np.ndarray],
        faults: Faults,
        memory: MemoryBudget,
        forget: Callable[[str], None] | None = None,
    ):
        self.keys = tuple(keys)
        self._read = read
        self._faults = faults
        self._memory = memory
        self._forget = forget
        self._kept: dict[int, Example] = {}
        self._unreadable: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> np.ndarray:
        """Decodes image `index` itself, keeping nothing; ValueError or OSError where that fails."""
        return self._read(index)

    def set_unreadable(self, reasons: Mapping[str, str]) -> None:
        """Notes images as unreadable: key -> reason, of any images."""
        for index, key in enumerate(self.keys):
            if key in reasons:
                self._unreadable[index] = reasons[key]
                self._faults.add(key, reasons[key])

    def readable(self) -> 'Images':
        """Returns the images that are not noted as unreadable, as a set of their own where there are others."""
        if not self._unreadable:
            return self
        kept = [index for index in range(len(self)) if index not in self._unreadable]
        keys = [self.keys[index] for index in kept]
        return Images(keys, lambda index: self._read(kept[index]), self._faults, self._memory, self._forget)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The keys of the images that are noted as unreadable, in their order."""
        return tuple(self.keys[index] for index in sorted(self._unreadable))

    def __getitem__(self, index: int) -> Example:
        """Returns image `index`, or the next readable one.

        Raises:
          IndexError: out of range.
          ValueError: if all images are noted as unreadable.
          RunStopped: if the image cannot be read now.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f'image {index} of {len(self)}')
        if len(self._unreadable) == len(self):
            raise ValueError(f'none of the {len(self)} images can be read, the first is {self.keys[0]}')
        index = int(index) % len(self)
        while index in self._unreadable:
            index = (index + 1) % len(self)
        example = self._kept.get(index)
        if example is None:
            try:
                example = Example(self.keys[index], self._read(index))
            except (ValueError, OSError, MemoryError) as error:
                raise RunStopped(self._why_unread(self.keys[index], error)) from error
            if self._memory.take(example.image.nbytes):
                # Two threads may decode one image at once and count it twice: that wastes a little, and no lock is
                # held while decoding.
                self._kept[index] = example
        return example

    def _why_unread(self, key: str, error: Exception) -> str:
        passing = why_passing(error)
        if passing:
            return f'{key} cannot be read now: {passing}; the same command tries again'
        line = f'{key} cannot be read: {storage.first_line(error)}'
        if self._forget is None:
            return line
        self._forget(key)
        return (
            f'{line}; it could be at the start: the same command looks at it again; what still cannot be read is '
            'replaced in training and left out of tests'
        )


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set as the rest of the package sees it.

    Attributes:
      name: the source, e.g. 'emoji'.
      domains: names in the order of their labels.
      train: domain -> training images.
      test: domain -> test images; may be empty.
      paired_test: test[a][i] and test[b][i] show the same thing, so that one is the truth for the other.
      licence: of the images, with the credit to give; empty when it is not known.
      faults: unreadable images met so far.
      paired_train: the same of train[a][i] and train[b][i].
      aligned: pairs of domains that are drawn over one another: only there do pixels have one truth.
      truth: (key of a source, key of a target image, target domain) -> uint8 [h, w, 3], the source's content in the
        target image's style, at the prepared size; None where that is not known.
      factors: (key, domain) -> every factor of content and style that the image was drawn from, by name; None where
        they are not known.
    """

    name: str
    domains: tuple[str, ...]
    train: dict[str, Images]
    test: dict[str, Images]
    paired_test: bool
    licence: str
    faults: Faults
    paired_train: bool = False
    aligned: frozenset[frozenset[str]] = frozenset()
    truth: Callable[[str, str, str], np.ndarray] | None = None
    factors: Callable[[str, str], dict[str, float | str | int]] | None = None

    @functools.cached_property
    def training_images(self) -> dict[str, str]:
        """Domain -> the number of its training images and a digest of their names, in their order."""
        return {name: _count_and_digest(images.keys) for name, images in self.train.items()}

    @functools.cached_property
    def unreadable_training_images(self) -> list[str]:
        """The names of the training images that others stand in for."""
        return [key for images in self.train.values() for key in images.unreadable]

    @functools.cached_property
    def test_images(self) -> dict[str, str]:
        """The same of its test images."""
        return {name: _count_and_digest(images.keys) for name, images in self.test.items()}

    @property
    def found(self) -> str:
        """Tells which images were found and which of them cannot be read: the same in all processes of a run."""
        return f'{self.training_images} {self.test_images} {self.faults.names}'


def _count_and_digest(keys: Sequence[str]) -> str:
    return f'{len(keys)} {hashlib.sha256(chr(0).join(keys).encode()).hexdigest()}'


def why_passing(error: Exception) -> str | None:
    """Returns why an image was not read, where that says nothing of it; missing rights do, they miss at every start."""
    if isinstance(error, PermissionError):
        return None
    return str(error) if isinstance(error, storage.Unreachable) else storage.why_not_now(error)


def pair_unreadable(unreadable: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns the unreadable images, key -> reason, with the counterparts of each: a pair goes as a whole."""
    both = dict(unreadable)
    for first, second in pairs:
        for key, other in ((first, second), (second, first)):
            if key in unreadable and other not in unreadable:
                both[other] = f'its counterpart {key} cannot be read: {unreadable[key]}'
    return both


def select_domains(wanted: Sequence[str], available: Sequence[str], source: str) -> tuple[str, ...]:
    """Returns `wanted`, or all that are there when it is empty.

    Raises:
      ValueError: for an unknown or repeated domain.
    """
    wanted = tuple(wanted) or tuple(available)
    for name in wanted:
        if name not in available:
            raise ValueError(f'{source} has no domain {name!r}; it has: {", ".join(available)}')
    if len(set(wanted)) != len(wanted):
        raise ValueError(f'data.domains names a domain twice: {", ".join(wanted)}')
    return wanted
