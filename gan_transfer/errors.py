"""Errors that are answered with one line instead of a traceback."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

from gan_transfer import storage

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what no other command would write either
_STATUS = re.compile(r'[A-Z_]+: ')  # what XLA's errors begin with: a file may be called barrier.png


class UserError(ValueError):
    """A mistake in what the user asked for: a config value, a flag, a missing file."""


class RunStopped(RuntimeError):
    """What cannot go on, for a reason that the message tells: a number that is not finite, a full disk."""


@contextlib.contextmanager
def stops_run(path: str | os.PathLike) -> Iterator[None]:
    """Marks a failed write to `path` as what ends the run.

    Raises:
      RunStopped: in place of OSError.
    """
    try:
        yield
    except OSError as error:
        raise RunStopped(f'{path} cannot be written: {error.strerror or error}') from error


def is_loss(error: Exception) -> bool:
    """Whether an error tells that another process of the run is gone.

    XLA raises such as errors of several types, ValueError too, none of them one of files, or of an object store that
    does not answer.
    """
    if isinstance(error, OSError):
        return False
    signs = (
        *('gloo', 'nccl', 'heartbeat', 'coordination service', 'barrier'),
        *('connection closed', 'connection reset', 'socket closed'),
    )
    return any(sign in str(error).lower() for sign in signs)


@contextlib.contextmanager
def from_user() -> Iterator[None]:
    """Marks what is raised inside as the user's mistake: use it around checks and the opening of files only.

    Raises:
      UserError: in place of ValueError and OSError, with their text.
      RunStopped: where the disk takes no more.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        name = f': {error.filename}' if error.filename else ''
        kind = RunStopped if error.errno in _NO_ROOM else UserError
        raise kind(f'{error.strerror or error}{name}') from error
    except ValueError as error:
        if _STATUS.match(str(error)) and is_loss(error):
            raise
        raise UserError(str(error)) from error


def check_folder(flag: str, folder: str | os.PathLike, *, for_checkpoints: bool = False) -> None:
    """Looks, without making anything, whether files can be written to a folder that may not be there yet.

    Raises:
      UserError: naming `flag` and the part of the path that is in the way.
    """
    try:
        there = storage.absolute(folder)
        if for_checkpoints:
            storage.check_for_checkpoints(there)
        if storage.is_remote(there):
            storage.check_bucket(there)
            return
    except OSError as error:
        raise UserError(f'--{flag}: {error}') from error
    while not os.path.exists(there) and there != there.parent:  # False also where it cannot be looked up
        if os.path.islink(there):
            raise UserError(
                f'--{flag}: {folder} cannot be a folder: {there} is a link to {os.readlink(there)}, which is not there'
            )
        there = there.parent
    if not there.is_dir():
        raise UserError(f'--{flag}: {folder} cannot be a folder: {there} is a file')
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f'--{flag}: {folder} cannot be written: no permission for {there}')
