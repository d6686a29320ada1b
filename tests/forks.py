"""Processes forked from one that has imported everything, before JAX starts any thread: without the seconds of imports.

The parent is a module of the tests that ends in `serve`. For each line that it reads it forks, and answers with the
process's number and then, when that has ended, its status.
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
    """Lets the parent fork a process for `request`, which is JSON; returns its number. One at a time."""
    print(json.dumps(request), file=parent.stdin, flush=True)
    return int(parent.stdout.readline())


def wait(parent: subprocess.Popen) -> int:
    """Returns the status of the process that was forked last; minus the signal's number where one ended it."""
    return int(parent.stdout.readline())


def serve(run: Callable[[Any], None]) -> None:
    """Runs `run(request)` in a process of its own for each line of the standard input."""
    gc.freeze()  # the forks look through nothing of what is there
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(json.loads(line))
            sys.exit()
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def redirect(number: int, path: str | os.PathLike, flags: int) -> None:
    """Makes a file one of this process's own: its standard input, output or error."""
    file = os.open(path, flags, 0o600)
    os.dup2(file, number)
    os.close(file)
