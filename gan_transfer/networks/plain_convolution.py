"""The convolution that every platform has, and its two gradients: maps linear in each of their two arguments."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


def forward(
    images: Float[Array, 'b h w c'], kernel: Float[Array, 'kh kw c d'], *, stride: int, padding: int
) -> Float[Array, 'b h2 w2 d']:
    """Returns the convolution (cross-correlation, as in every deep-learning library) with zero padding."""
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=_DIMENSIONS,
    )


def images_gradient(
    gradient: Float[Array, 'b h2 w2 d'],
    kernel: Float[Array, 'kh kw c d'],
    *,
    size: tuple[int, int],
    stride: int,
    padding: int,
    form: Callable[..., Array] = forward,
) -> Float[Array, 'b h w c']:
    """Returns the gradient with respect to images of height and width `size`, from that of the output.

    By the transpose of `form`, which computes the same as `forward`.
    """
    images = jax.ShapeDtypeStruct((gradient.shape[0], *size, kernel.shape[2]), gradient.dtype)
    transpose = jax.linear_transpose(lambda x: form(x, kernel, stride=stride, padding=padding), images)
    return transpose(gradient)[0]


def kernel_gradient(
    images: Float[Array, 'b h w c'],
    gradient: Float[Array, 'b h2 w2 d'],
    *,
    kernel_size: tuple[int, int],
    stride: int,
    padding: int,
    form: Callable[..., Array] = forward,
) -> Float[Array, 'kh kw c d']:
    """Returns the gradient with respect to a kernel of size `kernel_size`, from that of the output; `form` as above."""
    shape = (*kernel_size, images.shape[-1], gradient.shape[-1])
    kernel = jax.ShapeDtypeStruct(shape, gradient.dtype)
    transpose = jax.linear_transpose(lambda k: form(images, k, stride=stride, padding=padding), kernel)
    return transpose(gradient)[0]
