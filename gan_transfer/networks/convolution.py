"""Convolutions as pure functions: explicit padding, NHWC images, HWIO kernels.

The program's platform decides, when it is lowered, how a convolution is computed: XLA's own on accelerators,
`convolution_on_cpu.py` on a CPU. The rewritings here give the same result as the plain form with fewer operations;
each says which.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks import convolution_on_cpu, plain_convolution


def convolve(
    images: Float[Array, 'b h w c'],
    kernel: Float[Array, 'kh kw c d'],
    *,
    stride: int = 1,
    padding: int = 0,
) -> Float[Array, 'b h2 w2 d']:
    """Returns the convolution (cross-correlation, as in every deep-learning library) with zero padding.

    Reverse-mode derivatives of any order; no forward mode.
    """
    # Kernels stay in float32 up to here, so that sums of their taps lose nothing in bfloat16.
    kernel = kernel.astype(images.dtype)
    if images.shape[1:3] == kernel.shape[:2] and not padding:  # a single place: a matrix product
        return jnp.tensordot(images, kernel, 3)[:, None, None]
    return _forward(stride, padding, images, kernel)


# A convolution is linear in its images and linear in its kernel, and so are its two gradients. Of the three, each
# one's gradients are the other two, which makes derivatives of any order out of three functions.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _forward(stride: int, padding: int, images: Array, kernel: Array) -> Array:
    return _on_platform('forward', images, kernel, stride=stride, padding=padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _images_gradient(stride: int, padding: int, size: tuple, gradient: Array, kernel: Array) -> Array:
    return _on_platform('images_gradient', gradient, kernel, size=size, stride=stride, padding=padding)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _kernel_gradient(stride: int, padding: int, kernel_size: tuple, images: Array, gradient: Array) -> Array:
    sizes = {'kernel_size': kernel_size, 'stride': stride, 'padding': padding}
    return _on_platform('kernel_gradient', images, gradient, **sizes)


# Jitted so that layers of the same shapes are traced and lowered once.
@functools.partial(jax.jit, static_argnames=('name', 'stride', 'padding', 'size', 'kernel_size'))
def _on_platform(name: str, first: Array, second: Array, **sizes: Any) -> Array:
    cpu, default = (
        functools.partial(getattr(module, name), **sizes)
        for module in (convolution_on_cpu, plain_convolution)
    )
    return jax.lax.platform_dependent(first, second, cpu=cpu, default=default)


def _forward_pulled_back(stride: int, padding: int, given: tuple, gradient: Array) -> tuple[Array, Array]:
    images, kernel = given
    return (
        _images_gradient(stride, padding, images.shape[1:3], gradient, kernel),
        _kernel_gradient(stride, padding, kernel.shape[:2], images, gradient),
    )


def _images_gradient_pulled_back(
    stride: int, padding: int, size: tuple, given: tuple, images: Array
) -> tuple[Array, Array]:
    gradient, kernel = given
    return (
        _forward(stride, padding, images, kernel),
        _kernel_gradient(stride, padding, kernel.shape[:2], images, gradient),
    )


def _kernel_gradient_pulled_back(
    stride: int, padding: int, kernel_size: tuple, given: tuple, kernel: Array
) -> tuple[Array, Array]:
    images, gradient = given
    return (
        _images_gradient(stride, padding, images.shape[1:3], gradient, kernel),
        _forward(stride, padding, images, kernel),
    )


def _keeping_inputs(function: Callable) -> Callable:
    return lambda *arguments: (function(*arguments), arguments[-2:])


_forward.defvjp(_keeping_inputs(_forward), _forward_pulled_back)
_images_gradient.defvjp(_keeping_inputs(_images_gradient), _images_gradient_pulled_back)
_kernel_gradient.defvjp(_keeping_inputs(_kernel_gradient), _kernel_gradient_pulled_back)


def _interleave(phases: list[list[Float[Array, 'b h w d']]]) -> Float[Array, 'b h2 w2 d']:
    """Returns the image whose pixels (2i + p, 2j + q) are those of `phases[p][q]`."""
    b, h, w, d = phases[0][0].shape
    rows = [jnp.stack(row, axis=3) for row in phases]  # each [b, h, w, 2, d]
    return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, d)


def transposed_convolve_3x3(
    images: Float[Array, 'b h w c'], kernel: Float[Array, '3 3 c d']
) -> Float[Array, 'b h2 w2 d']:
    """Returns the transposed 3x3 convolution of stride 2, padding 1 and output padding 1: twice the size.

    Input pixel i reaches the output pixels 2i - 1 + k for k = 0, 1, 2. So an even output pixel sees one tap (k = 1)
    and an odd one two (k = 2 of its own pixel, k = 0 of the next): four small convolutions, whose gradients are plain
    convolutions too. XLA's gradient of the usual dilated form is about ten times slower on a CPU.
    """

    def phases(x: Array, k: Array) -> Array:
        padded = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        taps = {0: k[1:2], 1: k[2::-2]}  # by parity of the output row

        def phase(row: int, column: int) -> Array:
            weights = taps[row][:, 1:2] if column == 0 else taps[row][:, 2::-2]
            return convolve(padded[:, : x.shape[1] + row, : x.shape[2] + column], weights)

        return _interleave([[phase(row, column) for column in (0, 1)] for row in (0, 1)])

    return jax.lax.platform_dependent(images, kernel, cpu=phases, default=transpose)


def transpose(images: Float[Array, 'b h w c'], kernel: Float[Array, 'k k c d']) -> Float[Array, 'b h2 w2 d']:
    """Returns the transpose of the convolution of stride 2 and padding 1, applied to its `kernel` [k, k, d, c] turned.

    What accelerators have an instruction for; in phases the pixels are written two more times, to be interleaved.
    """
    size = (2 * images.shape[1], 2 * images.shape[2])
    return _images_gradient(2, 1, size, images, kernel.swapaxes(2, 3).astype(images.dtype))


def convolve_3x3_then_average(
    images: Float[Array, 'b h w c'], kernel: Float[Array, '3 3 c d']
) -> Float[Array, 'b h2 w2 d']:
    """Returns the means of 2x2 pixels of the zero-padded 3x3 convolution: half the size, from even sizes.

    One 4x4 convolution of stride 2, whose kernel is the mean of the four shifted 3x3 kernels: 16 products for each
    output pixel in place of 36, and nothing is kept at full size.
    """
    padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    return convolve(
        images, sum(padded[i : i + 4, j : j + 4] for i in (0, 1) for j in (0, 1)) / 4, stride=2, padding=1
    )


def upsample_then_convolve_3x3(
    images: Float[Array, 'b h w c'], kernel: Float[Array, '3 3 c d']
) -> Float[Array, 'b h2 w2 d']:
    """Returns the zero-padded 3x3 convolution of the image with every pixel repeated 2x2: twice the size.

    An even output pixel sees the pixel before its own once and its own twice, an odd one its own twice and the next
    once: four 2x2 convolutions at the small size, 16 products for each input pixel in place of 36. On accelerators as
    the transpose of the 4x4 convolution whose kernel is the sum of the four shifted 3x3 kernels.
    """

    def pair(taps: Array, parity: int) -> Array:  # three taps along axis 0 as two
        first, second = (taps[:1], taps[1:2] + taps[2:]) if parity == 0 else (taps[:1] + taps[1:2], taps[2:])
        return jnp.concatenate([first, second])

    def phases(x: Array, k: Array) -> Array:
        return _double(x, lambda row, column: pair(pair(k, row).swapaxes(0, 1), column).swapaxes(0, 1))

    return jax.lax.platform_dependent(images, kernel, cpu=phases, default=upsample_by_transpose)


def upsample_by_transpose(
    images: Float[Array, 'b h w c'], kernel: Float[Array, '3 3 c d']
) -> Float[Array, 'b h2 w2 d']:
    """Returns what `upsample_then_convolve_3x3` does, as accelerators compute it."""
    padded = jnp.pad(kernel[::-1, ::-1], ((1, 1), (1, 1), (0, 0), (0, 0)))
    return transpose(images, sum(padded[i : i + 4, j : j + 4] for i in (0, 1) for j in (0, 1)))


def transposed_convolve_4x4(
    images: Float[Array, 'b h w c'], kernel: Float[Array, '4 4 c d']
) -> Float[Array, 'b h2 w2 d']:
    """Returns the transposed 4x4 convolution of stride 2 and padding 1: twice the size.

    Input pixel i reaches the output pixels 2i - 1 + k for k = 0 to 3. So an even output pixel sees the pixel before
    its own (k = 3) and its own (k = 1), an odd one its own (k = 2) and the next (k = 0): four 2x2 convolutions.
    """

    def phases(x: Array, k: Array) -> Array:
        return _double(x, lambda row, column: k[3 - row :: -2, 3 - column :: -2])

    def on_cpu(x: Array, k: Array) -> Array:
        few = convolution_on_cpu.transposed_convolve_4x4(x, k.astype(x.dtype))
        return phases(x, k) if few is None else few

    return jax.lax.platform_dependent(images, kernel, cpu=on_cpu, default=transpose)


def _double(
    images: Float[Array, 'b h w c'], weights: Callable[[int, int], Float[Array, '2 2 c d']]
) -> Float[Array, 'b h2 w2 d']:
    """Returns twice the size: the output pixels of each parity by a 2x2 convolution of their own, zeros outside."""
    padded, (h, w) = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))), images.shape[1:3]

    def phase(row: int, column: int) -> Array:
        return convolve(padded[:, row : row + h + 1, column : column + w + 1], weights(row, column))

    return _interleave([[phase(row, column) for column in (0, 1)] for row in (0, 1)])
