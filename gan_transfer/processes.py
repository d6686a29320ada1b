"""Several processes as one run: how they start, wait for the first one, and end when one of them is gone."""

import concurrent.futures
import contextlib
import faulthandler
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from gan_transfer.errors import RunStopped, UserError, is_loss

# A process that has not been heard of for so long is taken for dead, and all others end.
HEARTBEAT_SECONDS = 30
# A process that is done waits for the others, which may have much to do: one that is lost is known by its heartbeats.
END_SECONDS = 7 * 24 * 3600
# Processes that have not all found each other after so many seconds end.
START_SECONDS = 300
# Processes that meet one mistake leave within so many seconds of one another.
TOGETHER_SECONDS = 10
# Where a cluster says that it started one process only, which then has all of its host's devices.
_COUNTS = ('SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
# Prints its argument when it finds the pipe closed with nothing in it: whoever held the other end was killed. SLURM and
# systemd send what interrupts a training to this process too.
_WATCH = """
import signal, sys
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
if not sys.stdin.read(): print(sys.argv[1], file=sys.stderr)
"""

T = TypeVar('T')


@contextlib.contextmanager
def joined(
    coordinator: str | None, count: int | None, index: int | None, *, preemption: bool = True
) -> Iterator[None]:
    """While it lasts, this process is one of a run's; to be entered before JAX's first use of a device.

    What is not given is taken from TPU, SLURM, Kubernetes and Open MPI environments, as `jax.distributed.initialize`
    does. Without any of these, or with a `count` of 1, this process is the only one.

    An error's `SystemExit` ends the process at once, whatever threads there are.

    When another process is lost, this one ends with a line about it and a status that is not 0: within
    `HEARTBEAT_SECONDS`, from Python or, where that waits for the lost one, by JAX aborting it.

    Args:
      coordinator: address and port of the first process, the same for all.
      count: how many processes there are.
      index: which of them this is, from 0 on.
      preemption: whether SIGTERM is noted, for `Interruption`, where it otherwise ends the process.

    Raises:
      UserError: where some are given and others not, or the index is not below the count.
    """
    jax.config.update('jax_enable_preemption_service', preemption)
    # JAX aborts the process from a thread of its own, where no Python gets a word in; a dump of all threads is no help.
    enabled = faulthandler.is_enabled()
    faulthandler.disable()
    if not _start(coordinator, count, index):
        if enabled:
            faulthandler.enable()
        try:
            yield
        except SystemExit as leaving:
            if leaving.code:
                # Where a save could not begin, threads of Orbax's wait five minutes for it, and a usual end for them.
                _exit(leaving.code)
            raise
        return
    name = f'process {jax.process_index()} of {jax.process_count()}'
    lost = (
        f'error: {name} cannot go on: it was killed, or another process is gone; the same commands, all of them '
        'again, go on from the last checkpoint'
    )
    watch = _watch(lost)
    try:
        yield
    except Exception as error:
        if not is_loss(error):
            traceback.print_exception(error)
            watch.communicate(b'said')
        else:
            print(str(error).strip().splitlines()[0], file=sys.stderr)
        # Ended in the usual way, it would first wait for the others, who wait for it.
        _exit(1)
    except BaseException as leaving:
        if isinstance(leaving, SystemExit) and leaving.code:
            _leave(watch, leaving.code)
        _end(watch)
        raise
    _end(watch)


def _watch(line: str) -> subprocess.Popen:
    """Starts what prints a line if this process ends without a word to it."""
    command = [sys.executable, '-c', _WATCH, line]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _initialize(*given: Any, **more: Any) -> None:
    """Joins the other processes; where they do not find each other, JAX aborts this one, and a line says so."""
    watch = _watch(
        f'error: the processes did not find each other within {START_SECONDS} seconds, or two had one index; every one '
        'needs the same --coordinator and --process_count and a --process_index of its own, where no cluster tells'
    )
    try:
        jax.distributed.initialize(*given, initialization_timeout=START_SECONDS, **more)
    finally:
        watch.communicate(b'still there')


def _leave(watch: subprocess.Popen, status: int) -> NoReturn:
    """Leaves with what this process has said; the others may have met the same, or wait for this one, and are not."""
    watch.communicate(b'said')
    ending = threading.Thread(target=jax.distributed.shutdown, daemon=True)
    ending.start()
    ending.join(TOGETHER_SECONDS)
    _exit(status)


def _exit(status: int) -> NoReturn:
    """Ends at once, without what waits for other processes or for threads at a usual end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end(watch: subprocess.Popen) -> None:
    """Waits for the other processes to end too, or for Ctrl-C."""
    ended: concurrent.futures.Future[None] = concurrent.futures.Future()

    def shut_down() -> None:
        try:
            jax.distributed.shutdown()
            ended.set_result(None)
        except BaseException as error:  # any: raised where it is waited for
            ended.set_exception(error)

    # In a thread: while it waits, nothing would hear a signal.
    threading.Thread(target=shut_down, daemon=True).start()
    try:
        ended.result()
    except KeyboardInterrupt:
        watch.communicate(b'said')
        _exit(128 + signal.SIGINT)
    watch.communicate(b'ended')


def _start(coordinator: str | None, count: int | None, index: int | None) -> bool:
    """Whether there are others, whom this process has then joined."""
    given = {'coordinator': coordinator, 'process_count': count, 'process_index': index}
    missing = [name for name, value in given.items() if value is None]
    limits = {
        'heartbeat_timeout_seconds': HEARTBEAT_SECONDS,
        'shutdown_timeout_seconds': END_SECONDS,
    }
    if count == 1 or (len(missing) == 3 and any(os.environ.get(name) == '1' for name in _COUNTS)):
        return False
    if len(missing) == 3:
        try:
            _initialize(**limits)
        except ValueError as error:
            if 'coordinator_address' not in str(error):  # JAX's word for: there is no cluster
                raise
            _check_alone()
            return False
        except Exception as error:
            # Any: what JAX asks Kubernetes by raises errors of its own, KeyError and RuntimeError.
            if 'KUBERNETES_SERVICE_HOST' not in os.environ:
                raise
            raise UserError(
                f'Kubernetes does not tell which processes take part ({error}); --process_count=1 runs alone, '
                '--coordinator, --process_count and --process_index say it in its place'
            ) from error
        return jax.process_count() > 1
    if missing:
        raise UserError(
            f'--coordinator, --process_count and --process_index go together; --{missing[0]} is missing'
        )
    if index >= count:
        raise UserError(f'--process_index is {index}; it must be below --process_count, {count}')
    host, _, port = coordinator.rpartition(':')
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f'--coordinator is {coordinator!r}; it is written HOST:PORT, a port from 1 to 65535')
    if index == 0:
        _check_port(int(port))
    _initialize(coordinator, count, index, cluster_detection_method='deactivate', **limits)
    return True


def _check_alone() -> None:
    """Raises UserError where MPI has started several processes and JAX does not see it, as with Open MPI 5."""
    count = os.environ.get('OMPI_COMM_WORLD_SIZE', '1')
    if count != '1':
        raise UserError(
            f'MPI started {count} processes (OMPI_COMM_WORLD_SIZE), and does not say where the first one is; give '
            '--coordinator, --process_count and --process_index, or --process_count=1 to run alone'
        )


def _check_port(port: int) -> None:
    """Raises UserError where the first process cannot listen: JAX would end in a segmentation fault."""
    with socket.socket() as there:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            there.bind(('', port))
        except OSError as error:
            raise UserError(
                f'--coordinator: port {port} of this machine cannot be had: {error.strerror}'
            ) from error


def is_first() -> bool:
    """Whether this process is the one that writes and talks."""
    return jax.process_index() == 0


def after_the_first(work: Callable[[], T]) -> T:
    """Returns what `work` returns, which the first process does before the others: they find what it has prepared.

    Where the first one fails for a value or a file, the others raise UserError.
    """
    if jax.process_count() == 1:
        return work()
    # What the processes talk by on CPUs is made at their first exchange, and waits for the others 30 seconds only.
    multihost_utils.sync_global_devices('all are there')
    result = failure = None
    if is_first():
        try:
            result = work()
        except (ValueError, OSError, RunStopped) as error:
            failure = error
    failed = multihost_utils.broadcast_one_to_all(np.int32(failure is not None))
    if failure:
        raise failure
    if failed:
        raise UserError('the first process could not go on; it says why')
    return result if is_first() else work()


def of_the_first(value: float) -> float:
    """Returns the first process's value, in float32 where there are others: what all must decide alike."""
    if jax.process_count() == 1:
        return value
    return float(multihost_utils.broadcast_one_to_all(np.float32(value)))


def check_alike(text: str, otherwise: str) -> None:
    """Compares what every process of a run has found for itself, and must have found alike.

    Raises:
      UserError: `otherwise`, in every process, where the texts of two of them are not the same.
    """
    if jax.process_count() == 1:
        return
    own = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.int32)
    if (multihost_utils.process_allgather(own) != own).any():
        raise UserError(otherwise)
