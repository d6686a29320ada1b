"""One training at a time in a run's folder."""

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Iterator

from gan_transfer import processes, storage
from gan_transfer.errors import UserError, from_user, stops_run

NAME = 'lock'


@contextlib.contextmanager
def locked(workdir: str) -> Iterator[None]:
    """Holds the lock of a run, for the first process of a training.

    The kernel lets go of it when the process ends, however it ends: the file that stays behind locks nothing. An object
    store has no such locks, and there this does nothing; on a file system without them it warns.

    Raises:
      UserError: where another process holds it, or the folder cannot be written.
      RunStopped: where the disk is full.
    """
    if not processes.is_first() or storage.is_remote(workdir):
        yield
        return
    path = storage.place(workdir, NAME)
    with from_user():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Nothing in a buffer: closing the file would try to write it once more, on a disk that is full.
        file = path.open('ab+', buffering=0)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(
                f'the run in {workdir} is being trained ({file.read().decode(errors="replace").strip()})'
            ) from error
        except OSError as error:
            print(
                f'warning: {path} cannot be locked ({error.strerror}): nothing keeps a second training away',
                file=sys.stderr,
            )
        with stops_run(path):
            file.truncate(0)
            file.write(f'process {os.getpid()} on {socket.gethostname()}'.encode())
        yield
