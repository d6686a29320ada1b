"""`launch.py` by command lines, without the seconds that imports take.

As a program it imports what `launch.py` does, and for each line that it reads forks a process that runs the file,
before JAX starts any thread. What imports would do differently is for the processes of `command.start` to show.
"""

import atexit
import gc
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import MappingProxyType

ROOT = pathlib.Path(__file__).parents[1]
SECONDS = 300  # that a process has


def start(environment: Mapping[str, str]) -> subprocess.Popen:
    """Starts the process that forks; it ends with this one, which holds its standard input."""
    parent = subprocess.Popen(
        [sys.executable, '-m', 'tests.forked_launch'],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(parent.communicate)
    return parent


def run(
    parent: subprocess.Popen, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str, str]:
    """Runs launch.py to its end; returns its exit status and what it wrote on standard output and error.

    What `environment` adds comes behind the imports.
    """
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps([folder, dict(environment), *arguments]), file=parent.stdin, flush=True)
        status = int(parent.stdout.readline())
        out, err = (pathlib.Path(folder, name).read_text() for name in ('out', 'err'))
    return status, out, err


def _launch(folder: str, environment: dict[str, str], *arguments: str) -> None:
    signal.alarm(SECONDS)
    for number, (path, how) in enumerate(((os.devnull, 'r'), (f'{folder}/out', 'w'), (f'{folder}/err', 'w'))):
        with pathlib.Path(path).open(how) as file:
            os.dup2(file.fileno(), number)
    os.environ.update(environment)
    sys.argv = ['launch.py', *arguments]
    runpy.run_path('launch.py', run_name='__main__')


def _serve() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _launch(*json.loads(line))
            sys.exit()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == '__main__':
    import gan_transfer.compare
    import gan_transfer.compile.compile_step
    import gan_transfer.evaluate
    import gan_transfer.import_checkpoint
    import gan_transfer.train
    import gan_transfer.translate  # noqa: F401

    gc.freeze()  # the forks look through none of it
    _serve()
