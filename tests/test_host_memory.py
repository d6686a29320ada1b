"""Freed memory is kept: the page faults of a second large block, in a process of its own."""

import subprocess
import sys

PROGRAM = """
import ctypes, resource, sys
from gan_transfer import host_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == 'keep':
    host_memory.keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(2**26)
    ctypes.memset(block, 1, 2**26)
    libc.free(block)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def _faults(root, argument):
    command = [sys.executable, '-c', PROGRAM, argument]
    return int(subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout)


def test_a_large_block_is_not_mapped_anew(root):
    assert _faults(root, 'leave') > 10 * _faults(root, 'keep') + 10
