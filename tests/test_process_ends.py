"""When processes that are one run wait for each other, and how they end: by signals, and when they are done."""

import contextlib
import signal
import subprocess
import sys
import time

import pytest

from tests import command

# The first of two processes asks whether to leave, while the second one is in a hash that takes a minute, where no
# Python runs, as in a compilation.
BUSY = """
import hashlib, sys, time
from gan_transfer import processes
from gan_transfer.interruption import Interruption
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
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what it leaves behind with it ignored
with processes.joined(sys.argv[1], 2, int(sys.argv[2]), preemption=False):
    print('started', flush=True)
    time.sleep(9 * int(sys.argv[2]))
    print('done', flush=True)
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


def test_a_process_that_is_done_waits_for_one_that_is_not():
    with two_of(DONE_EARLY) as both:
        ended = [(process.communicate()[1], process.returncode) for process in both]
    assert [status for _, status in ended] == [0, 0], ended


def test_ctrl_c_ends_the_wait_for_others():
    with two_of(DONE_EARLY) as (first, _):
        assert first.stdout.readline() == 'done\n'
        time.sleep(1)
        assert first.poll() is None
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=20) == 128 + signal.SIGINT


@pytest.mark.slow
def test_the_others_wait_for_a_long_preparation():
    with two_of(PREPARING) as both:
        for process in both:
            assert 'prepared\n' in process.stdout.readlines()  # beside what Gloo tells
