"""Trainings as processes of their own, to be killed in passing: `runs.start(data, workdir, train_images=64)`."""

import os
import pathlib
import resource
import signal
import sys
import time

import launch
from gan_transfer.methods import METHODS
from gan_transfer.train import train
from tests import command, forks, smallest


class ForkedRuns:
    """Starts trainings of `smallest.py`."""

    def __enter__(self):
        self._parent = forks.start('tests.forked_runs', command.two_devices())
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
        return ForkedRun(forks.fork(self._parent, {**request, 'output': str(output)}), self._parent, output)

    def finish(self, *arguments, **options):
        """Runs a training to its end, and returns status and output."""
        run = self.start(*arguments, **options)
        return run.wait(), run.output()


class ForkedRun:
    """A training under way."""

    def __init__(self, pid, parent, output):
        self._pid, self._parent, self._output = pid, parent, output

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
        """Whether the process has ended, before anybody waited for it."""
        return forks.ended(self._pid)

    def wait(self):
        """Returns the exit status; minus the signal's number where one ended it."""
        return forks.wait(self._parent, self._pid)

    def output(self):
        return self._output.read_text()


def _train(request):
    for number in (1, 2):
        forks.redirect(number, request['output'], os.O_WRONLY | os.O_APPEND)
    launch.quiet_libraries()
    with launch.leave_with_one_line():
        config = smallest.make_config(request['data'], **request['changes'])
        sys.exit(train(config, request['workdir'], allow_change=request['allow_change']))


if __name__ == '__main__':
    METHODS[smallest.NAME] = smallest.Smallest
    forks.serve(_train)
