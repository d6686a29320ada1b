"""`launch.py` by command lines, forked. What imports would do differently is for the processes of `command.start`."""

import atexit
import fcntl
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import MappingProxyType

from tests import forks

SECONDS = 300  # that a process has


def start(environment: Mapping[str, str]) -> subprocess.Popen:
    """Starts the process that forks, for as long as this one."""
    parent = forks.start('tests.forked_launch', environment)
    atexit.register(parent.communicate)
    return parent


class Launched:
    """A process of launch.py, with what the tests use of `subprocess.Popen`.

    What `environment` adds comes behind the imports.
    """

    def __init__(
        self,
        parent: subprocess.Popen,
        *arguments: str,
        environment: Mapping[str, str] = MappingProxyType({}),
    ):
        self._parent = parent
        self._written = tempfile.TemporaryDirectory()
        self._process = forks.fork(parent, [self._written.name, dict(environment), *arguments])
        self.returncode = None

    def poll(self) -> int | None:
        """Returns the exit status; None while there is none."""
        if self.returncode is None and forks.ended(self._process):
            self.returncode = forks.wait(self._parent, self._process)
        return self.returncode

    def _watched(self) -> bool:
        """Whether what the process has started, and may have more to say for it, is there still."""
        with pathlib.Path(self._written.name, 'err').open() as written:
            try:
                fcntl.flock(written, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._process, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = SECONDS + 30) -> tuple[str, str]:
        """Waits for the end, and returns, once, what was written on standard output and error.

        Raises:
          subprocess.TimeoutExpired: where that takes longer.
        """
        deadline = time.monotonic() + timeout
        while self.poll() is None or self._watched():
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired('launch.py', timeout)
            time.sleep(0.01)
        with self._written as folder:
            return pathlib.Path(folder, 'out').read_text(), pathlib.Path(folder, 'err').read_text()


def _launch(request: list) -> None:
    folder, environment, *arguments = request
    signal.alarm(SECONDS)
    forks.redirect(0, os.devnull, os.O_RDONLY)
    forks.redirect(1, f'{folder}/out', os.O_WRONLY | os.O_CREAT)
    forks.redirect(2, f'{folder}/err', os.O_WRONLY | os.O_CREAT)
    fcntl.flock(2, fcntl.LOCK_EX)  # until whoever has this standard error has ended
    os.environ.update(environment)
    sys.argv = ['launch.py', *arguments]
    runpy.run_path('launch.py', run_name='__main__')


if __name__ == '__main__':
    import gan_transfer.compare
    import gan_transfer.compile.compile_step
    import gan_transfer.evaluate
    import gan_transfer.import_checkpoint
    import gan_transfer.train
    import gan_transfer.translate  # noqa: F401

    forks.serve(_launch)
