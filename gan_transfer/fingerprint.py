"""Fingerprints of arrays, the same however an array is split among devices and processes.

An array's fingerprint is the sum over its elements of their bits, as an integer, times a weight of their place, modulo
2^64: whoever holds a part adds up the part. The weights are odd, so that no change of a single element goes unseen;
they are as good as random, so that any other change does with a probability of about 2^-32 at most.
"""

import hashlib
import json
import math
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

INNER = 1024  # elements in a row of what is summed at once: long enough for speed, short enough for the cache


def fingerprints(tree: Any) -> dict[str, str]:
    """Returns the fingerprint of every array by its path, 16 hexadecimal digits.

    Args:
      tree: of global jax arrays; with several processes all of them must call, with the same tree.
    """
    leaves = named_leaves(tree)
    sums = np.array([_local_sum(x) for x in leaves.values()], np.uint64)
    if jax.process_count() > 1:
        # As 32-bit numbers: JAX has no others by default.
        gathered = multihost_utils.process_allgather(sums.view(np.uint32))
        sums = np.ascontiguousarray(gathered).view(np.uint64).sum(axis=0)
    return {name: f'{int(value):016x}' for name, value in zip(leaves, sums, strict=True)}


def digest(tree: Any) -> str:
    """Returns one SHA-256 of the fingerprints and names of all arrays; called as `fingerprints` is."""
    return hashlib.sha256(json.dumps(fingerprints(tree), sort_keys=True).encode()).hexdigest()


def named_leaves(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by their path, `generator/params/...`."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator='/'): x for path, x in leaves}


def _local_sum(x: jax.Array) -> np.uint64:
    """The part of the sum that this process holds; of what several devices hold, one counts."""
    parts = [shard for shard in x.addressable_shards if shard.replica_id == 0]
    sums = [_sum(np.asarray(part.data), part.index, x.shape) for part in parts]
    return np.array(sums, np.uint64).sum()  # of an array: a sum of numbers would warn where it wraps around


def _sum(x: np.ndarray, index: tuple[slice, ...], shape: tuple[int, ...]) -> np.uint64:
    """Sums a part of an array of `shape` that lies at `index`."""
    bits = x.view(f'u{x.dtype.itemsize}')
    axes = [_weights(axis, size)[part] for axis, (size, part) in enumerate(zip(shape, index, strict=True))]
    split = x.ndim
    while split and math.prod(bits.shape[split:]) < INNER:
        split -= 1
    outer, inner = _product(axes[:split]), _product(axes[split:])
    # einsum casts and wraps around in small pieces; `@` would make a copy of 64 bits first.
    rows = np.einsum('ij,j->i', bits.reshape(len(outer), len(inner)), inner)
    return np.einsum('i,i->', rows, outer)


def _weights(axis: int, size: int) -> np.ndarray:
    """Odd 64-bit numbers for the places along an axis: SplitMix64 (Steele et al. 2014) of place and axis."""
    z = (np.arange(size, dtype=np.uint64) + np.uint64(axis << 40)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) | np.uint64(1)


def _product(axes: list[np.ndarray]) -> np.ndarray:
    """The weights of all places of several axes, flat."""
    product = np.ones(1, np.uint64)
    for weights in axes:
        product = (product[:, None] * weights).ravel()
    return product
