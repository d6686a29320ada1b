"""Trainings as processes of their own, without the seconds that imports take, to be killed in passing.

    with ForkedRuns() as runs:
        run = runs.start(data, workdir, train_images=64)

As a program it imports everything, and forks a process for each line that it reads, before JAX starts any thread.
"""

import gc
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import jax

import launch
from gan_transfer.methods import METHODS
from gan_transfer.train import train
from tests import command, smallest


class ForkedRuns:
    """Starts trainings of `smallest.py`, one at a time."""

    def __enter__(self):
        self._parent = subprocess.Popen(
            [sys.executable, '-m', 'tests.forked_runs'],
            cwd=command.ROOT,
            env=command.two_devices(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self._parent.kill()
        self._parent.communicate()

    def start(self, data, workdir, output=None, *, allow_change=False, **changes):
        """Starts a training; what it prints is beside its folder, or in `output`."""
        output = pathlib.Path(output or f'{workdir}.out')
        output.write_text('')
        request = {
            'data': str(data),
            'workdir': str(workdir),
            'changes': changes,
            'allow_change': allow_change,
        }
        print(json.dumps({**request, 'output': str(output)}), file=self._parent.stdin, flush=True)
        return ForkedRun(int(self._parent.stdout.readline()), self._parent.stdout, output)

    def finish(self, *arguments, **options):
        """Runs a training to its end, and returns status and output."""
        run = self.start(*arguments, **options)
        return run.wait(), run.output()


class ForkedRun:
    """A training under way."""

    def __init__(self, pid, statuses, output):
        self._pid, self._statuses, self._output = pid, statuses, output

    def send(self, number):
        os.kill(self._pid, number)

    def stop_when(self, reached):
        """Stops the run to see whether it has reached a moment, so that even a slow machine misses none."""
        while not self.ended():
            if reached():
                self.send(signal.SIGSTOP)
                if reached():
                    break
                self.send(signal.SIGCONT)
            time.sleep(0.0005)

    def limit_files(self, size):
        """Lets no file grow beyond so many bytes from now on: to the run as if the disk were full."""
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def ended(self):
        """Whether the process has ended; its parent has not been told, so that nobody else has its number."""
        return pathlib.Path(f'/proc/{self._pid}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'

    def wait(self):
        """Returns the exit status; minus the signal's number where one ended it."""
        return int(self._statuses.readline())

    def output(self):
        return self._output.read_text()


def _train(request):
    output = os.open(request['output'], os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    launch.quiet_libraries()
    with launch.leave_with_one_line():
        config = smallest.make_config(request['data'], **request['changes'])
        sys.exit(train(config, request['workdir'], allow_change=request['allow_change']))


def _serve():
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _train(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == '__main__':
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
    METHODS[smallest.NAME] = smallest.Smallest
    gc.freeze()  # the forks look through none of it
    _serve()
