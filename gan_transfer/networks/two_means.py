"""The means of two images over height and width in one pass, in the form that suits the platform."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, 'b h w c']
Means = tuple[Float[Array, 'b 1 1 c'], Float[Array, 'b 1 1 c']]


@jax.custom_vjp
def two_means(first: Images, second: Images) -> Means:
    """Returns the means of both over height and width.

    Reverse-mode derivatives of any order; no forward mode.
    """
    return jax.lax.platform_dependent(first, second, cuda=two_means_in_two_stages, default=_plain)


def two_means_in_two_stages(first: Images, second: Images) -> Means:
    """What `two_means` is on a GPU: rows, then the sums of rows.

    Of two sums XLA for GPUs makes two passes, and writes the second image out in float32 between them; and a sum over
    all pixels at once has one block of threads for 32 channels of an image, where rows have as many as the image is
    high.
    """

    def add(x: tuple[Array, Array], y: tuple[Array, Array]) -> tuple[Array, Array]:
        return x[0] + y[0], x[1] + y[1]

    zero = jnp.zeros((), first.dtype)
    rows = jax.lax.reduce((first, second), (zero, zero), add, (2,))
    pixels = first.shape[1] * first.shape[2]
    return tuple(row.sum(1)[:, None, None] / pixels for row in rows)


def _plain(first: Images, second: Images) -> Means:
    return tuple(images.mean((1, 2), keepdims=True) for images in (first, second))


def _pulled_back(images: tuple[Images, Images], gradients: Means) -> tuple[Images, Images]:
    pixels = images[0].shape[1] * images[0].shape[2]
    return tuple(jnp.broadcast_to(gradient / pixels, images[0].shape) for gradient in gradients)


# Of the images only the shape is used: a compiled program keeps none.
two_means.defvjp(lambda first, second: (two_means(first, second), (first, second)), _pulled_back)
