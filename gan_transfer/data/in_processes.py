"""A function of many items by several processes, in order."""

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from gan_transfer.errors import RunStopped

Item, Result = TypeVar('Item'), TypeVar('Result')

ITEMS_PER_PROCESS = 200  # at least: a process takes seconds to start
AT_ONCE = 2_000  # items that are given out before their results are fetched


def map_in_processes(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yields `function` of every item, in their order; where they are many, by a process for each core.

    For functions that keep Python's lock, where threads would take turns.

    Args:
      function: one that other processes can import, with what it is bound to.

    Raises:
      RunStopped: where one of the processes is gone.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    workers = min(cores, len(items) // ITEMS_PER_PROCESS)
    if workers < 2:
        yield from map(function, items)
        return
    try:
        with concurrent.futures.ProcessPoolExecutor(
            workers, multiprocessing.get_context('spawn'), initializer=_begin
        ) as pool:
            # The pool works on all that it is given, however many results wait to be fetched.
            for start in range(0, len(items), AT_ONCE):
                yield from pool.map(function, items[start : start + AT_ONCE], chunksize=8)
    except concurrent.futures.process.BrokenProcessPool as error:
        raise RunStopped(
            'a process that draws was killed, perhaps for want of memory; the same command begins anew'
        ) from error


def _begin() -> None:
    """Leaves Ctrl-C to the process that asked, and ends with it, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
