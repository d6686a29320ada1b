"""What the devices tell each other within a training step, under `jax.shard_map` over `data` and `fsdp`.

Trees of parameters come with a tree of the same form, `split`: the axis of each array that `fsdp` splits, WHOLE where
every device holds all of it.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gan_transfer.sharding import DATA, FSDP, WHOLE

Tree = Any


def gather(parameters: Tree, split: Tree) -> Tree:
    """Returns the whole arrays of which each device holds a part."""

    def one(x: jax.Array, axis: int) -> jax.Array:
        return x if axis == WHOLE else jax.lax.all_gather(x, FSDP, axis=axis, tiled=True)

    return jax.tree.map(one, parameters, split)


def mean_gradients(gradients: Tree, split: Tree, axes: tuple[str, ...]) -> Tree:
    """Returns of each array's mean over the batch, which `axes` split, what a device holds.

    Every array is reduced once, in the type that it has: along `fsdp` only to the part that a device holds, and that
    along `data`.
    """

    def one(x: jax.Array, axis: int) -> jax.Array:
        if axis == WHOLE:
            return jax.lax.pmean(x, axes)
        part = jax.lax.psum_scatter(x, FSDP, scatter_dimension=axis, tiled=True)
        return jax.lax.pmean(part, DATA) / jax.lax.axis_size(FSDP)

    return jax.tree.map(one, gradients, split)


def squared_norm(tree: Tree, split: Tree) -> jax.Array:
    """Returns the sum of the squares of all elements, whichever devices hold them."""
    squares = jax.tree.map(lambda x: jnp.vdot(x, x), tree)
    pairs = list(zip(jax.tree.leaves(squares), jax.tree.leaves(split), strict=True))
    total = sum(square for square, axis in pairs if axis == WHOLE)
    parts = [square for square, axis in pairs if axis != WHOLE]
    return total + jax.lax.psum(sum(parts), FSDP) if parts else total
