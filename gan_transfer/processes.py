"""Several processes as one run: how they start, wait for the first one, and leave when one of them is gone."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from gan_transfer.errors import UserError

# A process that has not been heard of for so long is taken for dead, and all others end.
HEARTBEAT_SECONDS = 30
# Where a cluster says that it started one process only, which then has all of its host's devices.
_PROCESS_COUNTS = ('SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')

T = TypeVar('T')


def start(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Joins the other processes; to be called before JAX's first use of a device.

    What is not given is taken from TPU, SLURM, Kubernetes and Open MPI environments, as `jax.distributed.initialize`
    does. Without any of these, or with a `count` of 1, this process is the only one.

    Args:
      coordinator: address and port of the first process, the same for all.
      count: how many processes there are.
      index: which of them this is, from 0 on.

    Raises:
      UserError: where some are given and others not, or the index is not below the count.
    """
    given = {'coordinator': coordinator, 'process_count': count, 'process_index': index}
    missing = [name for name, value in given.items() if value is None]
    if count == 1 or (len(missing) == 3 and any(os.environ.get(name) == '1' for name in _PROCESS_COUNTS)):
        return
    limits = {
        'heartbeat_timeout_seconds': HEARTBEAT_SECONDS,
        'shutdown_timeout_seconds': HEARTBEAT_SECONDS,
    }
    if not missing:
        if index >= count:
            raise UserError(f'--process_index is {index}; it must be below --process_count, {count}')
        if ':' not in coordinator:
            raise UserError(f'--coordinator is {coordinator!r}; it is written HOST:PORT')
        jax.distributed.initialize(coordinator, count, index, cluster_detection_method='deactivate', **limits)
    elif len(missing) == 3:
        try:
            jax.distributed.initialize(**limits)
        except ValueError as error:
            if 'coordinator_address' not in str(error):  # JAX's word for: there is no cluster
                raise
    else:
        raise UserError(
            f'--coordinator, --process_count and --process_index go together; --{missing[0]} is missing'
        )


def several() -> bool:
    """Whether this is one of several processes, without using a device."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process is the one that writes and talks."""
    return jax.process_index() == 0


def after_the_first(work: Callable[[], T]) -> T:
    """Returns what `work` returns, which the first process does before the others: they find what it has prepared.

    Raises:
      UserError: on all processes, where the first one raises it.
    """
    if jax.process_count() == 1:
        return work()
    result = failure = None
    if is_first():
        try:
            result = work()
        except UserError as error:
            failure = error
    failed = multihost_utils.broadcast_one_to_all(np.int32(failure is not None))
    if failure:
        raise failure
    if failed:
        raise UserError('the first process could not go on; it says why')
    return result if is_first() else work()


def of_the_first(value: float) -> float:
    """Returns the first process's value, in float32 where there are others: what all must decide alike."""
    return (
        value if jax.process_count() == 1 else float(multihost_utils.broadcast_one_to_all(np.float32(value)))
    )


def leave_the_others(error: Exception) -> None:
    """Where this is one of several processes, ends it now; returns where it is alone.

    Ended by an exception, it would first wait for the others, who wait for it.
    """
    if not several():
        return
    if _is_loss(error):
        reason = ' '.join(str(error).split())[:200]
        print(
            'error: another process of this run is gone; the same commands, all of them again, go on from the last '
            f'checkpoint ({reason})',
            file=sys.stderr,
        )
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _is_loss(error: Exception) -> bool:
    signs = ('gloo', 'nccl', 'connection', 'socket closed', 'heartbeat', 'coordination service', 'barrier')
    return isinstance(error, jax.errors.JaxRuntimeError) and any(sign in str(error).lower() for sign in signs)
