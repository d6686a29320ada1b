"""A file that is written piece by piece, in a folder or in an object store, where nothing is appended."""

import io
import os
import time

from gan_transfer import storage

UPLOAD_SECONDS = 30.0  # at most so often a growing file is written anew, when nobody asks for it


class GrowingFile:
    """A file that is written piece by piece, from `content` on."""

    def __init__(self, path: storage.Path, content: bytes = b''):
        """Starts the file anew.

        Raises:
          OSError: where it cannot be written.
        """
        self.path = path
        self._content, self._uploaded, self._changed = None, time.monotonic(), False
        storage.write(path, content)
        if storage.is_remote(path):
            self._content = io.BytesIO()
            self._content.write(content)
        else:
            self._file = path.open('ab')

    def write(self, piece: bytes) -> None:
        """Appends a piece; in an object store it is seen after the first piece that comes UPLOAD_SECONDS later."""
        if self._content is None:
            self._file.write(piece)
            self._file.flush()
            return
        self._content.write(piece)
        self._changed = True
        if time.monotonic() - self._uploaded > UPLOAD_SECONDS:
            self.flush()

    @property
    def held(self) -> int:
        """Bytes in memory: all that was written to an object store."""
        return 0 if self._content is None else self._content.tell()

    def flush(self) -> None:
        """Brings everything to the disk, or to the object store."""
        if self._content is None:
            os.fsync(self._file.fileno())
            return
        if self._changed:
            storage.write(self.path, self._content.getvalue())
            self._uploaded, self._changed = time.monotonic(), False

    def close(self) -> None:
        """Brings everything there, and ends the file."""
        if self._content is None:
            self._file.close()
        else:
            self.flush()
