"""How the C library treats the large blocks of memory that compiled programs ask for on a CPU."""

import ctypes

_TRIM_THRESHOLD, _MAPPED_BLOCKS, _ARENAS = -1, -4, -8  # glibc's malloc.h
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Keeps memory that a step has freed for the next one, in place of giving it back to the system.

    XLA asks for its temporary memory anew at every step, and glibc maps blocks of that size for the one use: the kernel
    then fills them with zeros page by page, up to a tenth of a step's time (docs/performance.md). The price is that the
    process stays as large as it ever was. Without effect where the C library has no such setting.

    To be called when the step is compiled: where a compiler has shared one arena with all threads, every step after it
    takes two to three times as long.
    """
    set_option = getattr(ctypes.CDLL(None), 'mallopt', None)
    if set_option is not None:
        set_option(_MAPPED_BLOCKS, 0)
        set_option(_ARENAS, 1)  # another thread's arena holds no large blocks, and would map them
        set_option(_TRIM_THRESHOLD, _NEVER)
