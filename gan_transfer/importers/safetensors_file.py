"""Reads safetensors files: a JSON table of contents, then the numbers."""

import json
import math
import pathlib

import jax.numpy as jnp
import numpy as np

from gan_transfer import storage

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


def read_safetensors_file(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the arrays by name.

    Raises:
      ValueError: for a damaged file, naming the array that does not fit.
    """
    content = storage.read(path)
    length = int.from_bytes(content[:8], 'little')
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError(f'{path} is cut off or no safetensors file')
    try:
        table = json.loads(content[8 : 8 + length])
        entries = {name: entry for name, entry in table.items() if name != '__metadata__'}
        described = {
            name: (np.dtype(DTYPES[entry['dtype']]), tuple(entry['shape']), *entry['data_offsets'])
            for name, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f'{path} has no readable table of contents ({type(error).__name__}: {error})'
        ) from error
    data = memoryview(content)[8 + length :]
    arrays = {}
    for name, (dtype, shape, start, end) in described.items():
        whole = all(type(n) is int and n >= 0 for n in (*shape, start, end))
        if not whole or end > len(data) or end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f'{path}: {name} of shape {shape} does not fit its bytes {start} to {end}')
        arrays[name] = np.frombuffer(data[start:end], np.uint8).view(dtype).reshape(shape).copy()
    return arrays
