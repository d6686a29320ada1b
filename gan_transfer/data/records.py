"""What the library of records raises, RuntimeError whatever has failed, as errors that a user can act upon."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gan_transfer import storage


@contextlib.contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Raises OSError in place of it: what describes the prepared data of `folder` is damaged, or cannot be read."""
    try:
        yield
    except Exception as error:  # of any type: its files go through JSON, protobuf and TFDS
        if storage.why_not_now(error):
            raise
        raise _damaged(folder, storage.first_line(error)) from error


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raises OSError in place of it: the prepared data of `folder` is damaged."""
    try:
        yield
    except RuntimeError as error:
        raise _damaged(folder, storage.first_line(error)) from error


def read(folder: Path, rows: Sequence[dict[str, Any]], position: int, name: str) -> Any:
    """Returns a feature of one record.

    Raises:
      OSError: where the prepared data of `folder` is damaged.
    """
    with reading(folder):
        found = rows[position][name]
    if found is None:  # a file that has become shorter since it was opened gives empty records
        raise _damaged(folder, f'record {position} is empty')
    return found


def _damaged(folder: Path, reason: str) -> OSError:
    return OSError(f'prepared data in {folder} is damaged: {reason}; remove it, and it is made anew')


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raises OSError in place of it where a file of `folder` could not be written."""
    try:
        yield
    except RuntimeError as error:
        if type(error) is not RuntimeError or 'writing' not in str(error):  # of a process, or a fault of ours
            raise
        raise OSError(f'{folder} cannot be written: {storage.first_line(error)}') from error
