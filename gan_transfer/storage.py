"""Where files are: in folders, and in Google's object store (`gs://BUCKET/...`) through etils.epath and gcsfs.

An object store knows whole objects only. It has no folders to make, nothing is appended, and an object that is being
written is not there until it is whole. What fails there raises OSError, as files do.
"""

import contextlib
import errno
import functools
import os
import pathlib
import re
import secrets
import stat
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

# Of the packages that reach the store, and what TensorStore's errors, all of one type, say.
_PACKAGES = ('aiohttp', 'gcsfs', 'google', 'requests', 'urllib3')
_STATUS = re.compile(
    r'\b(UNAVAILABLE|DEADLINE_EXCEEDED|PERMISSION_DENIED|UNAUTHENTICATED|RESOURCE_EXHAUSTED|CANCELLED)\b'
    r'|[Cc]onnect'
)

# Errors of the system that say nothing of what is in a file.
_PASSING = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)

Path: TypeAlias = Any  # a pathlib.Path, or an epath.Path
REMOTE = 'gs://'
PARTIAL, LEFT_SECONDS = '.partial', 3600  # files that are being written, and for how long at most


class Unreachable(OSError):
    """The object store did not answer, or refused: nothing is known of what is there."""


def is_remote(path: Any) -> bool:
    """Returns whether a path is in the object store."""
    return os.fspath(path).startswith(REMOTE)


def place(path: str | os.PathLike, *parts: str) -> Path:
    """Returns the path of a file or folder: a `pathlib.Path`, or an `epath.Path`, which has the same methods.

    Raises:
      OSError: for an object store that this environment or this program cannot reach.
    """
    text = os.fspath(path)
    if not is_remote(text):
        if '://' in text:
            raise OSError(f'{text} is in an object store of another kind than {REMOTE}')
        # Shells leave the ~ of --workdir=~/runs as it is.
        return pathlib.Path(os.path.expanduser(text), *parts)
    with reached(text):
        import gcsfs  # noqa: F401  epath loads it, when it is used, by its name
        from etils import epath

        return epath.Path(text, *parts)


@contextlib.contextmanager
def reached(path: Any) -> Iterator[None]:
    """Turns what gcsfs raises, of many types, into OSError; folders raise it themselves."""
    try:
        yield
    except Exception as error:
        if not is_remote(path):
            raise
        if isinstance(error, ModuleNotFoundError):
            raise OSError(f'{path} needs another package: pip install gcsfs') from error
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f'{path}: no such object or bucket, or it may not be seen') from error
        raise Unreachable(f'{path}: {str(error).strip() or type(error).__name__}') from error


def why_unreachable(error: Exception) -> str | None:
    """Returns what an object store's error says, out of whichever library; None for an error of another kind."""
    package = type(error).__module__.partition('.')[0]
    refused = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
    return first_line(error) if refused or package in _PACKAGES or _STATUS.search(str(error)) else None


def why_not_now(error: Exception) -> str | None:
    """Returns why a file of a folder was not read, where that says nothing of what is in it: want of memory, rights."""
    if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error):
        return f'out of memory: {first_line(error)}'
    number = system_error(error)
    return os.strerror(number) if number in _PASSING else None


def system_error(error: Exception) -> int | None:
    """Returns the system's number of an error, of TensorStore's too, which tell it in their text."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os_error_code='(\d+)'", str(error))
    return int(found[1]) if found else None


def first_line(error: Exception) -> str:
    """Returns the first line of what an error says, or its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def exists(path: Path) -> bool:
    """Returns whether there is such a file or folder.

    Raises:
      OSError: where that cannot be looked up.
    """
    with reached(path):
        return path.exists()


def _store() -> Any:
    """The file system that epath uses, with its listings."""
    import fsspec

    return fsspec.filesystem('gcs', finalize_on_close=True)


def forget_listings(path: Path) -> None:
    """Looks at the store anew from now on: gcsfs keeps what it has listed, whatever others write."""
    if is_remote(path):
        with reached(path):
            _store().invalidate_cache()


def check_for_checkpoints(path: Path) -> None:
    """Raises OSError for what Orbax, which takes a checkpoint's own path for a pattern, writes and cannot read."""
    text = os.fspath(path)
    surrogate = any('\ud800' <= character <= '\udfff' for character in text)  # of bytes that are no UTF-8
    if not is_remote(path) and ('[' in text or '\\' in text or surrogate):
        raise OSError(
            f'a checkpoint in {text!r} could not be read again: no [, no \\, nothing but UTF-8 there'
        )


def check_bucket(path: Path) -> None:
    """Raises OSError where there is no such bucket, or it cannot be seen."""
    bucket = place(REMOTE + os.fspath(path).removeprefix(REMOTE).partition('/')[0])
    if not exists(bucket):
        raise OSError(f'{path}: no such bucket')


def files_in(folder: Path) -> list[Path]:
    """Returns what is in a folder and in its folders, sorted."""
    with reached(folder):
        if is_remote(folder):
            found = _store().find(os.fspath(folder).removeprefix(REMOTE))
            return [place(REMOTE + name) for name in sorted(found)]
        return sorted(folder.rglob('*'))


def move(source: Path, target: Path) -> None:
    """Moves a folder, to where nothing is.

    In an object store its objects are copied and then removed, what says that a checkpoint is whole before the others.
    """
    if not is_remote(source):
        target.parent.mkdir(exist_ok=True)
        source.rename(target)
        return
    forget_listings(source)
    with reached(source):
        store, start = _store(), os.fspath(source).removeprefix(REMOTE).rstrip('/')
        names = store.find(start)
        for name in names:
            store.cp_file(name, os.fspath(target).removeprefix(REMOTE) + name.removeprefix(start))
        for name in sorted(names, key=lambda name: 'commit_success' not in name):
            store.rm_file(name)
        store.invalidate_cache()


def absolute(path: str | os.PathLike) -> Path:
    """Returns `place(path)`, not relative to the working directory."""
    there = place(path)
    return there if is_remote(there) else there.absolute()


class Status(NamedTuple):
    """Size in bytes, time of the last change as text, and whether it is a file, not a folder or device."""

    size: int
    modified: str
    regular: bool


def status(path: Path) -> Status:
    """Looks a file up.

    Raises:
      OSError: if there is none.
    """
    with reached(path):
        found = path.stat()
    if is_remote(path):
        return Status(found.length, str(found.mtime), not found.is_directory)
    return Status(found.st_size, str(found.st_mtime_ns), stat.S_ISREG(found.st_mode))


def read(path: Path) -> bytes:
    """Returns what is in a file.

    Raises:
      OSError: where it cannot be read.
    """
    with reached(path):
        return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all, also at a loss of power, and its folder.

    Raises:
      OSError: where it cannot be written, naming it.
    """
    with reached(path):
        if is_remote(path):
            path.write_bytes(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path.resolve()  # a link stays one
        _remove_leftovers(place.parent)
        # A name of its own: another process may write the file too. Not the file's, which may be as long as can be.
        partial = place.with_name(f'.{secrets.token_hex(8)}{PARTIAL}')
        try:
            with partial.open('xb') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(place)
        except OSError as error:
            if error.errno is not None:  # else its text is all that it has
                error.filename = str(path)
            raise
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()


@functools.cache
def _remove_leftovers(folder: Path) -> None:
    """Removes what writes that were killed have left in a folder; once a process, for folders may be large."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f'.{"[0-9a-f]" * 16}{PARTIAL}'):
            if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                left.unlink()


def first_unused(path: Path) -> int:
    """Returns the number by which `numbered` makes a path of `path` that is not there."""
    number = 1
    while exists(numbered(path, number)):
        number += 1
    return number


def numbered(path: Path, number: int) -> Path:
    """Returns `path` itself for 1, else `path_2`, `path_3`, ..."""
    return path if number == 1 else path.with_name(f'{path.name}_{number}')
