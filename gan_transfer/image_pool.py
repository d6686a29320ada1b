"""History of generated images for the discriminator (Shrivastava et al. 2017, section 2.3), as arrays in the state.

Differs from the reference: each place of the batch keeps a history of its own, of size // batch images (at least one).
With batch 1 that is the original's pool of 50; with a larger batch the images kept are as many, and no device has to
see another one's images.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


@flax.struct.dataclass
class ImagePool:
    """`images` of every place of the batch, and how many of each are filled."""

    images: Any  # float32 [b, size, h, w, c], or in its place a shape or a sharding
    count: Any  # int32 [b]


def create(size: int, batch: int, image_shape: tuple[int, int, int]) -> ImagePool:
    """Returns an empty pool for about `size` images in all."""
    per_place = max(size // batch, 1)
    return ImagePool(jnp.zeros((batch, per_place, *image_shape)), jnp.zeros((batch,), jnp.int32))


def query(
    pool: ImagePool, images: Float[Array, 'b h w c'], keys: Key[Array, 'b']
) -> tuple[Float[Array, 'b h w c'], ImagePool]:
    """Returns images for the discriminator and the new pool.

    While a history is being filled, the image is stored and returned. After that, with probability one half it is
    swapped against a stored one, which is returned; otherwise it is returned and not stored.
    """
    size = pool.images.shape[1]

    def one(history: Array, count: Array, image: Array, key: Array) -> tuple[Array, Array, Array]:
        swap_key, index_key = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        filling = count < size
        swap = jax.random.bernoulli(swap_key)
        index = jnp.where(filling, count, jax.random.randint(index_key, (), 0, size))
        chosen = jnp.where(filling | ~swap, image, history[index])
        stored = jnp.where(filling | swap, image, history[index])
        return chosen, history.at[index].set(stored), jnp.minimum(count + 1, size)

    chosen, histories, counts = jax.vmap(one)(pool.images, pool.count, images, keys)
    return chosen, ImagePool(histories, counts)
