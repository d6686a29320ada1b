"""Fingerprints: the same for the same bits on any devices, and another for any other bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gan_transfer import fingerprint
from gan_transfer.fingerprint import fingerprints

SHAPES = [(), (1,), (3,), (5000,), (3, 3, 16, 32), (8, 2, 5, 3), (0, 4)]


def numbers(shape, dtype='float32'):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape) * 9, dtype)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'int32', 'uint8', 'bool'])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_follows_the_bits(shape, dtype):
    """By the definition, in Python's numbers, which know no overflow."""
    x = np.asarray(numbers(shape, dtype))
    bits = x.view(f'u{x.dtype.itemsize}')
    weights = [fingerprint._weights(axis, size).tolist() for axis, size in enumerate(shape)]
    total = 0
    for place in np.ndindex(*shape):
        weight = 1
        for axis, index in enumerate(place):
            weight *= weights[axis][index]
        total += int(bits[place]) * weight
    assert fingerprints({'x': jnp.asarray(x)}) == {'x': f'{total % 2**64:016x}'}


@pytest.mark.parametrize(
    'spec', [(), ('a',), ('b',), (None, 'a'), ('b', 'a'), (('a', 'b'),)], ids=lambda spec: str(spec)
)
def test_does_not_depend_on_who_holds_what(spec):
    mesh = jax.make_mesh((2, 2), ('a', 'b'))
    x = numbers((8, 6, 5))
    placed = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))
    assert fingerprints({'x': placed}) == fingerprints({'x': x})


def test_sees_every_bit_and_every_place():
    x = np.asarray(numbers((4, 3, 2)))
    seen = {fingerprints({'x': jnp.asarray(x)})['x']}
    for place in np.ndindex(*x.shape):
        for bit in range(32):
            other = x.copy()
            other.view(np.uint32)[place] ^= np.uint32(1 << bit)
            seen.add(fingerprints({'x': jnp.asarray(other)})['x'])
    for axis in range(3):
        seen.add(fingerprints({'x': jnp.asarray(np.flip(x, axis))})['x'])
    signs = x * np.where(np.arange(24).reshape(4, 3, 2) < 2, -1, 1).astype(np.float32)
    seen.add(fingerprints({'x': jnp.asarray(signs)})['x'])
    assert len(seen) == 1 + 24 * 32 + 3 + 1


def test_names_are_paths():
    assert list(fingerprints({'b': {'c': jnp.ones(2)}, 'a': (jnp.ones(1),)})) == ['a/0', 'b/c']


def test_a_digest_tells_numbers_and_names_apart():
    x = numbers((3, 4))
    digests = {fingerprint.digest(tree) for tree in ({'x': x}, {'y': x}, {'x': x.at[1, 2].add(1e-3)})}
    assert len(digests) == 3
    assert fingerprint.digest({'x': x + 0}) in digests
