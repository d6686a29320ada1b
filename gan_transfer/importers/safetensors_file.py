"""Reads safetensors files: a JSON table of contents, then the numbers."""

import json
import math
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from gan_transfer import storage
from gan_transfer.importers.layout import shown

DTYPES = {
    'F64': np.float64,
    'F32': np.float32,
    'F16': np.float16,
    'BF16': jnp.bfloat16,
    'I64': np.int64,
    'I32': np.int32,
    'I16': np.int16,
    'I8': np.int8,
    'U8': np.uint8,
    'BOOL': np.bool_,
}
DIMENSIONS, LARGEST = 32, 2**40


def read_safetensors_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the arrays by name.

    Raises:
      ValueError: for a damaged file, naming the array that does not fit.
    """
    content = storage.read(path)
    length = int.from_bytes(content[:8], 'little')
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError(f'{path} is cut off or no safetensors file')
    data = memoryview(content)[8 + length :]
    try:
        table = json.loads(content[8 : 8 + length])
        entries = {name: _entry(entry) for name, entry in table.items() if name != '__metadata__'}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f'{path} has no readable table of contents ({type(error).__name__}: {shown(error)})'
        ) from error
    for name, (dtype, shape, start, end) in entries.items():
        if not _is_shape(shape) or not (type(start) is type(end) is int and 0 <= start <= end <= len(data)):
            raise ValueError(f'{path}: {shown(name)} has no shape, or no place within {len(data)} bytes')
        if end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(
                f'{path}: {shown(name)} of shape {shape} does not fit its bytes {start} to {end}'
            )
    if sum(end - start for _, _, start, end in entries.values()) > len(data):
        raise ValueError(f'{path} has arrays that overlap: together they are larger than the file')
    return {
        name: np.frombuffer(data[start:end], np.uint8).view(dtype).reshape(shape).copy()
        for name, (dtype, shape, start, end) in entries.items()
    }


def _entry(entry: Any) -> tuple[np.dtype, tuple, Any, Any]:
    """Returns what the table says of an array: its type, shape, and where it begins and ends."""
    start, end = entry['data_offsets']
    return np.dtype(DTYPES[entry['dtype']]), tuple(entry['shape']), start, end


def _is_shape(shape: tuple) -> bool:
    """Whether these are whole numbers, as many and as large as numpy takes for a shape, of an empty array too."""
    if len(shape) > DIMENSIONS or not all(type(n) is int and 0 <= n < LARGEST for n in shape):
        return False
    return math.prod(n or 1 for n in shape) < LARGEST
