"""When processes that are one run wait for each other, and how they end: by signals, and when they are done."""

import contextlib
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from gan_transfer.interruption import Interruption
from tests import command

# What starts first ends last, in one worker: the waits of some are those of others too.
pytestmark = pytest.mark.xdist_group('process_ends')
# The first of two processes asks whether to leave, while the second one is in a hash that takes a minute, where no
# Python runs, as in a compilation.
BUSY = """
import hashlib, signal, sys, time
from gan_transfer import processes
from gan_transfer.interruption import Interruption
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what it leaves behind with it ignored
with processes.joined(sys.argv[1], 2, int(sys.argv[2])), Interruption() as interruption:
    print('started', flush=True)
    if sys.argv[2] == '1':
        hashlib.pbkdf2_hmac('sha256', b'', b'', 100_000_000)
    asked = 0
    while asked < 600 and not interruption.agreed():
        asked += 1
        time.sleep(0.1)
    print('agreed' if asked < 600 else 'never', flush=True)
"""
WAITING = """
import sys, time
from gan_transfer import processes
processes.HEARTBEAT_SECONDS = 3
with processes.joined(sys.argv[1], 2, int(sys.argv[2]), preemption=False):
    print('started', flush=True)
    time.sleep(60)
"""
# What processes on CPUs talk by waits 30 seconds for all of them, when it is made.
PREPARING = """
import sys, time
from gan_transfer import processes
with processes.joined(sys.argv[1], 2, int(sys.argv[2]), preemption=False):
    print('started', flush=True)
    print(processes.after_the_first(lambda: time.sleep(35 * processes.is_first()) or 'prepared'), flush=True)
"""
# The first of two processes is done long before the second, for longer than a lost one would be waited for.
DONE_EARLY = """
import signal, sys, time
from gan_transfer import processes
processes.HEARTBEAT_SECONDS = 3
signal.signal(signal.SIGINT, signal.default_int_handler)
with processes.joined(sys.argv[1], 2, int(sys.argv[2]), preemption=False):
    print('started', flush=True)
    time.sleep(9 * int(sys.argv[2]))
    print('done', flush=True)
"""
# A checkpoint whose folder cannot be made: threads of Orbax's wait five minutes for it.
NO_ROOM = """
import errno, os, sys
import jax, jax.numpy as jnp
import orbax.checkpoint._src.path.async_path as async_path
import launch
from gan_transfer import processes
from gan_transfer.checkpoint import Checkpoints
async def refuse(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
launch.quiet_libraries()
with processes.joined(None, 1, None), launch.leave_with_one_line():
    checkpoints = Checkpoints(sys.argv[1], keep=1)
    async_path.mkdir = refuse
    checkpoints.save(1, {'x': jnp.zeros(3)}, {})
    checkpoints.wait()
"""
# A training on a terminal.
WITH_A_BAR = """
import signal, time
from gan_transfer.interruption import Interruption
from gan_transfer.report import Report
signal.signal(signal.SIGINT, signal.default_int_handler)
with Report(total=100, done=0), Interruption():
    print('started', flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def two_of(code):
    """Two processes of a run that have both printed a line."""
    address = f'127.0.0.1:{command.free_port()}'
    both = [
        subprocess.Popen(
            [sys.executable, '-c', code, address, str(index)],
            cwd=command.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        for process in both:
            assert process.stdout.readline() == 'started\n'
        yield both
    finally:
        for process in both:
            process.kill()
            process.communicate()


@pytest.fixture(scope='module', autouse=True)
def preparing():
    """A long preparation, which is under way while other tests run."""
    with two_of(PREPARING) as both:
        yield both


@pytest.fixture(scope='module', autouse=True)
def done_early():
    with two_of(DONE_EARLY) as both:
        yield both


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_told_to_all_and_the_second_ends_a_process_at_once(number):
    with two_of(BUSY) as (first, second):
        time.sleep(0.1)
        second.send_signal(number)
        assert first.stdout.readline() == 'agreed\n'
        assert second.poll() is None, 'the first one is noted'
        second.send_signal(signal.SIGTERM)
        assert second.wait(timeout=10) == 128 + signal.SIGTERM


def test_one_signal_ends_a_process_that_has_nothing_to_save():
    with two_of(WAITING) as (_, second):
        second.send_signal(signal.SIGTERM)
        assert second.wait(timeout=10) == -signal.SIGTERM


def test_ctrl_c_ends_the_wait_for_others():
    with two_of(DONE_EARLY) as (first, _):
        assert first.stdout.readline() == 'done\n'
        time.sleep(1)
        assert first.poll() is None
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=20) == 128 + signal.SIGINT


def test_a_save_that_cannot_begin_ends_the_process_soon(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', NO_ROOM, str(tmp_path)],
        cwd=command.ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 1
    assert 'the checkpoint of step 1 cannot be written to' in done.stderr
    assert 'No space left on device' in done.stderr


def ignores(pid, number):
    masks = pathlib.Path(f'/proc/{pid}/status').read_text()
    return int(re.search(r'SigIgn:\s*(\w+)', masks)[1], 16) >> number - 1 & 1


@pytest.mark.skipif(sys.platform != 'linux', reason='/proc is of Linux')
def test_a_lost_process_is_told_where_the_whole_job_was_sent_a_signal():
    """SLURM and systemd send it to every process, to those too that look after others."""
    with two_of(WAITING) as (first, second):
        (watch,) = pathlib.Path(f'/proc/{first.pid}/task/{first.pid}/children').read_text().split()
        deadline = time.monotonic() + 20
        while not ignores(watch, signal.SIGTERM) and time.monotonic() < deadline:
            time.sleep(0.1)  # it starts
        os.kill(int(watch), signal.SIGTERM)
        second.kill()
        _, told = first.communicate(timeout=60)
    assert first.returncode != 0
    assert 'error: process 0 of 2 cannot go on: it was killed, or another process is gone' in told


def until(terminal, sign):
    """What is shown up to a sign; an empty one: until nobody has the terminal open any more."""
    shown = b''
    with contextlib.suppress(OSError):
        while not sign or sign not in shown:
            shown += os.read(terminal, 1024)
    return shown


def test_the_second_signal_leaves_the_terminal_with_its_cursor():
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, '-c', WITH_A_BAR],
        cwd=command.ROOT,
        env={**os.environ, 'TERM': 'xterm'},
        stdout=inside,
    )
    os.close(inside)
    try:
        assert b'\x1b[?25l' in until(terminal, b'started'), 'the bar hides it'
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert until(terminal, b'').endswith(b'\x1b[?25h')
        assert process.wait(timeout=10) == 128 + signal.SIGINT
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_ctrl_c_stays_ignored_where_the_process_was_started_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)
            assert interruption.signal is None
            os.kill(os.getpid(), signal.SIGTERM)
            deadline = time.monotonic() + 10
            while interruption.signal is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert interruption.signal == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_process_that_is_done_waits_for_one_that_is_not(done_early):
    ended = [(process.communicate()[1], process.returncode) for process in done_early]
    assert [status for _, status in ended] == [0, 0], ended


def test_the_others_wait_for_a_long_preparation(preparing):
    for process in preparing:
        assert 'prepared\n' in process.stdout.readlines()  # beside what Gloo tells
