"""Feature maps at random places, for contrasts of patches."""

import jax
from jaxtyping import Array, Float, Int, Key


def random_places(key: Key[Array, ''], locations: int, patches: int) -> Int[Array, 'n']:
    """Returns places of a flattened map, without repetition, the same for every image; all where there are fewer."""
    return jax.random.permutation(key, locations)[:patches]


def at_places(features: Float[Array, 'b h w c'], places: Int[Array, 'n']) -> Float[Array, 'b n c']:
    """Returns the features at some places of the flattened map."""
    b, h, w, c = features.shape
    return features.reshape(b, h * w, c)[:, places]
