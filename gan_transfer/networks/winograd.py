"""Convolutions of stride one with half the products: Winograd's minimal filtering along the height.

Winograd 1980; Lavin and Gray 2016, section 4. F(m, r) finds m rows of the output from m + r - 1 products in place of
m r. Only the height is treated so: what is left are m + r - 1 convolutions by kernels of one row, which XLA computes at
the speed of matrix products, of images an m-th as high. The two-dimensional form needs still fewer products, and takes
more time to rearrange pixels than that saves (docs/performance.md).
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gan_transfer.networks import plain_convolution as plain

TILE = 4  # rows of the output that are found together: with 3 taps 6 products in place of 12
# Where polynomials are evaluated, beside infinity; small numbers keep the rounding small.
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)
# The gradient of the kernel reads its images by columns, fast only while they stay in a core's cache.
_PIXELS_AT_ONCE = 1024


def forward(
    images: Float[Array, 'b h w c'], kernel: Float[Array, 'kh kw c d'], *, padding: int
) -> Float[Array, 'b h2 w2 d']:
    """As `plain_convolution.forward` of stride 1."""
    kernels = _combined(_matrices(len(kernel))[1], [kernel[i : i + 1] for i in range(len(kernel))])
    return _convolve(images, kernels, (padding, padding))


def images_gradient(
    gradient: Float[Array, 'b h2 w2 d'], kernel: Float[Array, 'kh kw c d'], *, padding: int
) -> Float[Array, 'b h w c']:
    """As `plain_convolution.images_gradient` of stride 1: the convolution by the turned kernel."""
    rows, columns, channels, features = kernel.shape
    # By matrix products: XLA would fuse sums of the rows with the transposition, and read the kernel by columns.
    flat = kernel.swapaxes(2, 3).reshape(rows * columns, -1)
    turned = np.kron(np.flip(_matrices(rows)[1], 1), np.eye(columns)[::-1]).astype(np.float32)
    kernels = [(m @ flat).reshape(1, columns, features, channels) for m in np.split(turned, rows + TILE - 1)]
    return _convolve(gradient, kernels, (rows - 1 - padding, columns - 1 - padding))


def kernel_gradient(
    images: Float[Array, 'b h w c'],
    gradient: Float[Array, 'b h2 w2 d'],
    *,
    kernel_size: tuple[int, int],
) -> Float[Array, 'kh kw c d']:
    """As `plain_convolution.kernel_gradient` of stride 1 and of images that are padded already."""
    b, h, w = gradient.shape[:3]
    if b * h * w <= _PIXELS_AT_ONCE:
        return _kernel_gradient(images, gradient, kernel_size)
    band = max(_PIXELS_AT_ONCE // w // TILE, 1) * TILE
    return sum(
        _kernel_gradient(
            images[i : i + 1, row : row + band + kernel_size[0] - 1],
            gradient[i : i + 1, row : row + band],
            kernel_size,
        )
        for i in range(b)
        for row in range(0, h, band)
    )


def _convolve(images: Array, kernels: list[Array], border: tuple[int, int]) -> Array:
    """Convolves images, with a border of zeros, by a kernel of which `kernels` are the combined rows."""
    taps = len(kernels) - TILE + 1
    of_images, _, of_outputs = _matrices(taps)
    height = images.shape[1] + 2 * border[0] - taps + 1
    padded = jnp.pad(images, ((0, 0), (border[0], border[0]), (border[1], border[1]), (0, 0)))
    parts = _combined(of_images, _windows(padded, height, taps))
    products = [plain.forward(x, k, stride=1, padding=0) for x, k in zip(parts, kernels, strict=True)]
    y = jnp.stack(_combined(of_outputs, products), axis=2)
    return y.reshape(len(y), -1, *y.shape[3:])[:, :height]


def _kernel_gradient(images: Array, gradient: Array, kernel_size: tuple[int, int]) -> Array:
    """The transpose of `_convolve` in its kernel."""
    taps, columns = kernel_size
    of_images, of_kernel, of_outputs = _matrices(taps)
    parts = _combined(of_images, _windows(images, gradient.shape[1], taps))
    gradients = _combined(of_outputs.T, _rows_of_tiles(gradient))
    size = {'kernel_size': (1, columns), 'stride': 1, 'padding': 0}
    products = [plain.kernel_gradient(x, g, **size) for x, g in zip(parts, gradients, strict=True)]
    return jnp.concatenate(_combined(of_kernel.T, products))


@functools.cache
def _matrices(taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns what is applied to the rows of images, of a kernel with so many `taps`, and afterwards of the products.

    The Cook-Toom construction: a product of polynomials from its values at points and at infinity.
    """
    count = TILE + taps - 1
    points, at_infinity = np.array(_POINTS[: count - 1]), np.eye(count)[-1]
    others = [np.delete(points, i) for i in range(len(points))]
    weights = [1 / np.prod(point - other) for point, other in zip(points, others, strict=True)]
    of_images = [np.append(np.poly(other)[::-1], 0) for other in others]
    of_kernel = [weight * point ** np.arange(taps) for weight, point in zip(weights, points, strict=True)]
    of_outputs = [point ** np.arange(TILE) for point in points]
    return (
        np.stack([*of_images, np.poly(points)[::-1]]),
        np.stack([*of_kernel, at_infinity[-taps:]]),
        np.stack([*of_outputs, at_infinity[-TILE:]], axis=1),
    )


def _combined(matrix: np.ndarray, rows: list[Array]) -> list[Array]:
    """Returns, for each line of the matrix, the sum of `rows` with its weights."""

    def one(weights: np.ndarray) -> Array:
        terms = [x if w == 1 else w.item() * x for w, x in zip(weights, rows, strict=True) if w]
        return sum(terms[1:], start=terms[0])

    return [one(weights) for weights in matrix]


def _windows(images: Array, height: int, taps: int) -> list[Array]:
    """Returns the first, second, ... row of what each tile of `height` output rows sees, as images."""
    tiles = -(-height // TILE)
    below = jnp.pad(images, ((0, 0), (0, TILE * tiles + taps - 1 - images.shape[1]), (0, 0), (0, 0)))
    own = _rows_of_tiles(below[:, : TILE * tiles])
    return own + [x[:, :tiles] for x in _rows_of_tiles(below[:, TILE:])[: taps - 1]]


def _rows_of_tiles(x: Array) -> list[Array]:
    """Returns the first, second, ... row of every tile, as images [b, tiles, w, c]; zeros are put below."""
    b, h, w, c = x.shape
    split = jnp.pad(x, ((0, 0), (0, -h % TILE), (0, 0), (0, 0))).reshape(b, -1, TILE, w, c)
    return [split[:, :, i] for i in range(TILE)]
