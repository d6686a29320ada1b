"""`launch.py` by command lines, forked. What imports would do differently is for the processes of `command.start`."""

import atexit
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import MappingProxyType

from tests import forks

SECONDS = 300  # that a process has


def start(environment: Mapping[str, str]) -> subprocess.Popen:
    """Starts the process that forks, for as long as this one."""
    parent = forks.start('tests.forked_launch', environment)
    atexit.register(parent.communicate)
    return parent


def run(
    parent: subprocess.Popen, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str, str]:
    """Runs launch.py to its end; returns its exit status and what it wrote on standard output and error.

    What `environment` adds comes behind the imports.
    """
    with tempfile.TemporaryDirectory() as folder:
        forks.fork(parent, [folder, dict(environment), *arguments])
        status = forks.wait(parent)
        out, err = (pathlib.Path(folder, name).read_text() for name in ('out', 'err'))
    return status, out, err


def _launch(request: list) -> None:
    folder, environment, *arguments = request
    signal.alarm(SECONDS)
    forks.redirect(0, os.devnull, os.O_RDONLY)
    forks.redirect(1, f'{folder}/out', os.O_WRONLY | os.O_CREAT)
    forks.redirect(2, f'{folder}/err', os.O_WRONLY | os.O_CREAT)
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
