"""Random keys: root -> fold in the step -> fold in a name -> (fold in the sample). No key is stored or split."""

import zlib

import jax
from jaxtyping import Array, Int, Key


def named(key: Key[Array, ''], name: str) -> Key[Array, '']:
    """Returns the stream of `key` called `name`."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def per_sample(key: Key[Array, ''], slots: Int[Array, 'b']) -> Key[Array, 'b']:
    """Returns one key for each place of the global batch, so that a sample's numbers do not depend on its device."""
    return jax.vmap(lambda slot: jax.random.fold_in(key, slot))(slots)
