"""Where files are: in folders, and in Google's object store (`gs://BUCKET/...`) through etils.epath and gcsfs.

An object store knows whole objects only. It has no folders to make, nothing is appended, and an object that is being
written is not there until it is whole. What fails there raises OSError, as files do.
"""

import contextlib
import io
import os
import pathlib
import stat
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

Path: TypeAlias = Any  # a pathlib.Path, or an epath.Path
REMOTE = 'gs://'
UPLOAD_SECONDS = 30.0  # at most so often a growing file is written anew, when nobody asks for it


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
        return pathlib.Path(text, *parts)
    with reached(text):
        import gcsfs  # noqa: F401  epath loads it, when it is used, by its name
        from etils import epath

        return epath.Path(text, *parts)


@contextlib.contextmanager
def reached(path: Any) -> Iterator[None]:
    """Turns what gcsfs raises, of many types, into OSError; folders raise it themselves."""
    try:
        yield
    except ValueError:  # a mistake that the caller has found
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        if isinstance(error, ModuleNotFoundError):
            raise OSError(f'{path} needs another package: pip install gcsfs') from error
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f'{path}: no such object or bucket') from error
        raise OSError(f'{path}: {str(error).strip() or type(error).__name__}') from error


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


def write(path: Path, content: bytes) -> None:
    """Writes a file, whole or not at all, and its folder.

    Raises:
      OSError: where it cannot be written.
    """
    with reached(path):
        if is_remote(path):
            path.write_bytes(content)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'.{path.name}.partial')
        partial.write_bytes(content)
        partial.replace(path)


class GrowingFile:
    """A file that is written piece by piece, from `content` on."""

    def __init__(self, path: Path, content: bytes = b''):
        """Starts the file anew.

        Raises:
          OSError: where it cannot be written.
        """
        self.path, self._content, self._uploaded = path, None, 0.0
        write(path, content)
        if is_remote(path):
            self._content = io.BytesIO()
            self._content.write(content)
        else:
            self._file = path.open('ab')

    def write(self, piece: bytes) -> None:
        """Appends a piece: at once, or in an object store within UPLOAD_SECONDS of the last one."""
        if self._content is None:
            self._file.write(piece)
            self._file.flush()
            return
        self._content.write(piece)
        if time.monotonic() - self._uploaded > UPLOAD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Brings everything to the disk, or to the object store."""
        if self._content is None:
            os.fsync(self._file.fileno())
            return
        write(self.path, self._content.getvalue())
        self._uploaded = time.monotonic()

    def close(self) -> None:
        """Brings everything there, and ends the file."""
        if self._content is None:
            self._file.close()
        else:
            self.flush()
