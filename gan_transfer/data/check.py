"""Finds unreadable images before training starts, and remembers the answer."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from absl import logging

from gan_transfer import storage
from gan_transfer.data.dataset import Images, why_passing
from gan_transfer.data.decode import READER, read_image
from gan_transfer.data.progress import track

LISTED = 10  # files that an error names
NEVER = ''  # the stamp of no file: looked at again at the next start


def find_unreadable(
    root: Path,
    files: Mapping[str, Path],
    cache: Path,
    threads: int,
    read: Callable[[Path], Any] = read_image,
) -> dict[str, str]:
    """Decodes every file once, on threads, and returns key -> reason for those that can't be.

    The result is kept in `cache` by modification time and size, so that the next start, with whichever domains of the
    folder, only looks at what changed, and again at what could not be read at all: rights and drives come back without
    a new time. Another version of the reader looks at everything.

    Args:
      root: the data set's folder.
      files: by the key of their image.
      read: decodes a file; ValueError or OSError where that fails.

    Raises:
      OSError: where a file was not read for want of memory, of open files, or of its file server: another image in its
        place would change the training and the test by chance.
    """
    stamps = {key: _stamp(file) for key, file in files.items()}
    return _find(root, stamps, lambda key: read(files[key]), cache, threads)


def find_unreadable_records(
    folder: Path, images: Iterable[Images], cache: Path, threads: int
) -> dict[str, str]:
    """Decodes every image of prepared data once, as `find_unreadable` does files: key -> reason.

    Args:
      folder: of the records; any change of its files means to look at all images again.
      images: all there are, with keys that differ.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    stamp = hashlib.sha256(json.dumps([[path.name, _stamp(path)] for path in files]).encode()).hexdigest()
    places = {key: (part, index) for part in images for index, key in enumerate(part.keys)}

    def read(key: str) -> None:
        part, index = places[key]
        part.read(index)

    return _find(folder, dict.fromkeys(places, stamp), read, cache, threads)


def forget(root: Path, cache: Path, key: str) -> None:
    """Lets the next start look again at an image that cannot be read any more: its file may tell nothing of that."""
    record = _record(root, cache)
    known = _load(record)
    if known.pop(key, None) is not None:
        with contextlib.suppress(OSError):  # the run ends for the image, not for a full disk
            _save(record, known)


def note_unreadable(
    unreadable: Mapping[str, str],
    train: Mapping[str, Images],
    test: Mapping[str, Images],
    max_share: float,
) -> dict[str, Images]:
    """Tells the images which of them are unreadable; refuses domains that have too many of those.

    Each domain counts by itself, since a training draws from each alike. In training another image stands in, so that
    the others keep their places in the stream of samples; a test counts every image once.

    Args:
      unreadable: key -> reason.
      train: domain -> training images.
      test: domain -> test images, of the same domains.
      max_share: of a domain's images that may be unreadable.

    Returns:
      the test images that can be read.

    Raises:
      ValueError: where a domain has more, or no readable training or test image; it lists some, and why the first is
        none.
    """
    for domain in train:
        parts = [part.keys for part in (train[domain], test[domain]) if len(part)]
        keys = [key for part in parts for key in part]
        broken = sorted(key for key in keys if key in unreadable)
        nothing_left = any(all(key in unreadable for key in part) for part in parts)
        if len(broken) <= max_share * len(keys) and not nothing_left:
            continue
        limit = f'more than data.max_corrupt_share={max_share}'
        if len(broken) <= max_share * len(keys):
            limit = 'all of its training images or all of its test images'
        listed = ', '.join(broken[:LISTED])
        more = f' and {len(broken) - LISTED} more' if len(broken) > LISTED else ''
        raise ValueError(
            f'{len(broken)} of {len(keys)} images of {domain!r} cannot be read, {limit}: {listed}{more}; '
            f'of the first: {unreadable[broken[0]]}'
        )
    for images in (*train.values(), *test.values()):
        images.set_unreadable(unreadable)
    return {domain: images.readable() for domain, images in test.items()}


def _find(
    root: Path, stamps: dict[str, str], read: Callable[[str], Any], cache: Path, threads: int
) -> dict[str, str]:
    """Reads the names whose stamp is new; returns name -> reason for what, then or earlier, could not be read."""
    record = _record(root, cache)
    known = _load(record)
    new = [name for name, stamp in stamps.items() if known.get(name, [None])[0] != stamp]
    if new:
        try:
            with ThreadPoolExecutor(threads) as pool:
                reasons = track(pool.map(lambda name: _reason(read, name), new), 'checking images', len(new))
                for name, (reason, lasts) in zip(new, reasons, strict=True):
                    known[name] = [stamps[name] if lasts else NEVER, reason]
        finally:  # what was looked at before a check ended early need not be again
            _keep(record, known)
    return {name: known[name][1] for name in stamps if known[name][1]}


def _record(root: Path, cache: Path) -> Path:
    """Returns the file that remembers what a reader of this version found in a folder."""
    place = os.fsencode(root if storage.is_remote(root) else root.resolve())
    return cache / f'checked_{hashlib.sha256(place + READER.encode()).hexdigest()[:16]}.json'


def _reason(read: Callable[[str], Any], name: str) -> tuple[str, bool]:
    """Returns why an image cannot be read, or nothing, and whether that lasts for as long as its file is the same."""
    try:
        read(name)
    except (ValueError, OSError, MemoryError) as error:
        if passing := why_passing(error):
            raise OSError(f'{name} cannot be read now: {passing}; the same command tries again') from error
        return storage.first_line(error), not isinstance(error, OSError)
    return '', True


def _stamp(path: Path) -> str:
    # Text, since JSON readers may round an integer as large as nanoseconds since 1970.
    try:
        status = storage.status(path)
    except OSError:  # a dangling link: found unreadable by the check itself
        return 'missing'
    return f'{status.modified} {status.size}'


def _load(record: Path) -> dict[str, list[str]]:
    try:
        known = json.loads(record.read_text())
    except (OSError, ValueError):  # not there yet, or cut off: check again
        known = None
    return known if isinstance(known, dict) else {}


def _keep(record: Path, known: dict[str, list[str]]) -> None:
    try:
        _save(record, known)
    except OSError as error:
        logging.warning(
            'images are checked anew at every start: %s cannot be written: %s', record, error.strerror
        )


def _save(record: Path, known: dict[str, list[str]]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    unfinished = record.with_name(f'.{record.name}-{uuid.uuid4().hex}')
    try:
        unfinished.write_text(json.dumps(known))
        os.replace(unfinished, record)
    finally:
        unfinished.unlink(missing_ok=True)
