"""Processes forked from one that has imported everything, before JAX starts any thread: without the seconds of imports.

The parent is a module of the tests that ends in `serve`. It forks at each line that it reads, and answers with the
process's number; at a line with such a number it waits for that process and answers with its status.
"""

import gc
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]


def start(module: str, environment: Mapping[str, str]) -> subprocess.Popen:
    """Starts a parent; it ends with this process, which holds its standard input."""
    return subprocess.Popen(
        [sys.executable, '-m', module],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def fork(parent: subprocess.Popen, request: Any) -> int:
    """Lets the parent fork a process for `request`, JSON that is no number; returns the process's."""
    print(json.dumps(request), file=parent.stdin, flush=True)
    return int(parent.stdout.readline())


def ended(process: int) -> bool:
    """Whether a process has ended that is not waited for yet: until then nobody else gets its number."""
    return pathlib.Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'


def wait(parent: subprocess.Popen, process: int) -> int:
    """Returns the status of a process, once, when it has ended; minus the signal's number where one ended it."""
    print(process, file=parent.stdin, flush=True)
    return int(parent.stdout.readline())


def serve(run: Callable[[Any], None]) -> None:
    """Runs `run(request)` in a process of its own for each request on the standard input."""
    gc.freeze()  # the forks look through nothing of what is there
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, int):
            print(os.waitstatus_to_exitcode(os.waitpid(request, 0)[1]), flush=True)
            continue
        child = os.fork()
        if not child:
            run(request)
            sys.exit()
        print(child, flush=True)


def redirect(number: int, path: str | os.PathLike, flags: int) -> None:
    """Makes a file one of this process's own: its standard input, output or error."""
    file = os.open(path, flags, 0o600)
    os.dup2(file, number)
    os.close(file)
