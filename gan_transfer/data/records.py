"""What the library of records raises, RuntimeError whatever has failed, as errors that a user can act upon."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gan_transfer import storage


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raises OSError in place of it: the prepared data of `folder` is damaged."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(
            f'prepared data is damaged; remove {folder}, and it is made anew: {storage.first_line(error)}'
        ) from error


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raises OSError in place of it where a file of `folder` could not be written."""
    try:
        yield
    except RuntimeError as error:
        if type(error) is not RuntimeError or 'writing' not in str(error):  # of a process, or a fault of ours
            raise
        raise OSError(f'{folder} cannot be written: {storage.first_line(error)}') from error
