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


def means(gradients: Tree, scalars: Tree, split: Tree, axes: tuple[str, ...]) -> tuple[Tree, Tree]:
    """Returns the means over the batch, which `axes` split: of each gradient what a device holds, of scalars all.

    All that devices hold whole is reduced at once, in the type that it has. Gradients of what is split are reduced
    along `fsdp` only to the part that a device holds, and that along `data`.
    """
    leaves, structure = jax.tree.flatten(gradients)
    whole, parts = {}, {}
    for i, (x, axis) in enumerate(zip(leaves, jax.tree.leaves(split), strict=True)):
        if axis == WHOLE:
            whole[i] = x
        else:
            part = jax.lax.psum_scatter(x, FSDP, scatter_dimension=axis, tiled=True)
            parts[i] = part / jax.lax.axis_size(FSDP)
    whole, scalars = jax.lax.pmean((whole, scalars), axes)
    if parts and jax.lax.axis_size(DATA) > 1:
        parts = jax.lax.pmean(parts, DATA)
    merged = whole | parts
    return structure.unflatten([merged[i] for i in range(len(leaves))]), scalars


def squared_norm(tree: Tree, split: Tree) -> jax.Array:
    """Returns the sum of the squares of all elements, whichever devices hold them."""
    squares = jax.tree.map(lambda x: jnp.vdot(x, x), tree)
    pairs = list(zip(jax.tree.leaves(squares), jax.tree.leaves(split), strict=True))
    total = sum(square for square, axis in pairs if axis == WHOLE)
    parts = [square for square, axis in pairs if axis != WHOLE]
    return total + jax.lax.psum(sum(parts), FSDP) if parts else total
