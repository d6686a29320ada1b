"""Finds unreadable image files before training starts, and remembers the answer."""

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gan_transfer.data.decode import read_image
from gan_transfer.data.progress import track

LISTED = 10  # files that an error names


def find_unreadable(root: Path, names: Sequence[str], cache: Path, threads: int) -> dict[str, str]:
    """Decodes every file once, on threads, and returns name -> reason for those that can't be.

    The result is kept in `cache` by modification time and size, so that the next start only looks at what changed.

    Args:
      root: the data set's folder.
      names: files relative to it.
    """
    record = cache / f'checked_{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json'
    known = _load(record)
    stamps = {name: _stamp(root / name) for name in names}
    new = [name for name in names if known.get(name, [None])[0] != stamps[name]]
    if new:
        with ThreadPoolExecutor(threads) as pool:
            reasons = pool.map(lambda name: _reason(root / name), new)
            for name, reason in zip(new, track(reasons, 'checking images', len(new)), strict=True):
                known[name] = [stamps[name], reason]
        _save(record, {name: known[name] for name in names})
    return {name: known[name][1] for name in names if known[name][1]}


def refuse_too_many(unreadable: dict[str, str], total: int, max_share: float) -> None:
    """Raises a ValueError that lists files when more than `max_share` of `total` images are unreadable."""
    if len(unreadable) <= max_share * total:
        return
    listed = ', '.join(sorted(unreadable)[:LISTED])
    more = f' and {len(unreadable) - LISTED} more' if len(unreadable) > LISTED else ''
    raise ValueError(
        f'{len(unreadable)} of {total} images cannot be read, more than data.max_corrupt_share={max_share}: '
        f'{listed}{more}'
    )


def _reason(path: Path) -> str:
    try:
        read_image(path)
    except (ValueError, OSError) as error:
        return str(error) or type(error).__name__
    return ''


def _stamp(path: Path) -> str:
    # Text, since JSON readers may round an integer as large as nanoseconds since 1970.
    try:
        status = path.stat()
    except OSError:  # a dangling link: found unreadable by the check itself
        return 'missing'
    return f'{status.st_mtime_ns} {status.st_size}'


def _load(record: Path) -> dict[str, list[str]]:
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError):  # not there yet, or cut off: check again
        return {}


def _save(record: Path, known: dict[str, list[str]]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    unfinished = record.with_name(f'.{record.name}-{uuid.uuid4().hex}')
    unfinished.write_text(json.dumps(known))
    os.replace(unfinished, record)
