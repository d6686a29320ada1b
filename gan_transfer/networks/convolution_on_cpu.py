"""A convolution, and its gradients, in the form that is fastest on a CPU for the shape at hand.

XLA's own convolutions reach the machine's matrix-product speed where both channel counts are large and the stride is
one; these are the other cases, and each says its reason. Times are in `docs/performance.md`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks import plain_convolution as plain
from gan_transfer.networks import winograd

_FEW_CHANNELS = 4
# From so many output pixels on, a strided convolution's gradients gain more by rearranged images than that costs: of
# the images for the kernel's gradient, of the kernel too for the images'.
_PIXELS_FOR_KERNEL_GRADIENT, _PIXELS_FOR_IMAGES_GRADIENT = 256, 1024
# Up to so many output pixels of a batch, what counts is that the kernel is read once and as it lies.
_FEW_PIXELS, _FEW_PIXELS_FOR_IMAGES_GRADIENT = 64, 256
# From so many on, half the products gain more than the sums before and after them cost.
_WINOGRAD_PIXELS, _WINOGRAD_CHANNELS, _WINOGRAD_CHANNELS_FOR_KERNEL_GRADIENT = 512, 128, 256


def forward(
    images: Float[Array, 'b h w c'], kernel: Float[Array, 'kh kw c d'], *, stride: int, padding: int
) -> Float[Array, 'b h2 w2 d']:
    """As `plain_convolution.forward`."""
    size = _output_size(images.shape[1:3], kernel.shape, stride, padding)
    if _pixels(size, images) <= _FEW_PIXELS:
        return _by_taps(images, kernel, stride=stride, padding=padding)
    if stride == 1 and kernel.shape[-1] <= _FEW_CHANNELS:
        return _by_columns(_pad(images, padding), kernel)
    if stride == 1 and _winograd_gains(size, images, kernel.shape, _WINOGRAD_CHANNELS):
        return winograd.forward(images, kernel, padding=padding)
    return plain.forward(images, kernel, stride=stride, padding=padding)


def images_gradient(
    gradient: Float[Array, 'b h2 w2 d'],
    kernel: Float[Array, 'kh kw c d'],
    *,
    size: tuple[int, int],
    stride: int,
    padding: int,
) -> Float[Array, 'b h w c']:
    """As `plain_convolution.images_gradient`."""
    rows, columns, channels, _ = kernel.shape
    if _pixels(gradient.shape[1:3], gradient) <= _FEW_PIXELS_FOR_IMAGES_GRADIENT:
        return plain.images_gradient(
            gradient, kernel, size=size, stride=stride, padding=padding, form=_by_taps
        )
    if stride == 1 and channels <= _FEW_CHANNELS and rows == columns > padding:
        return _by_columns(_pad(gradient, rows - 1 - padding), jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    if stride == 1 and rows > padding and _winograd_gains(size, gradient, kernel.shape, _WINOGRAD_CHANNELS):
        return winograd.images_gradient(gradient, kernel, padding=padding)
    many = gradient.shape[1] * gradient.shape[2] >= _PIXELS_FOR_IMAGES_GRADIENT
    if many and rows % 2 == 0 and _rearrangeable(size, kernel.shape, stride, padding):
        folded = plain.images_gradient(
            gradient, _fold_kernel(kernel), size=_half(size, padding), stride=1, padding=0
        )
        return _crop(_unfold(folded), padding)
    return plain.images_gradient(gradient, kernel, size=size, stride=stride, padding=padding)


def kernel_gradient(
    images: Float[Array, 'b h w c'],
    gradient: Float[Array, 'b h2 w2 d'],
    *,
    kernel_size: tuple[int, int],
    stride: int,
    padding: int,
) -> Float[Array, 'kh kw c d']:
    """As `plain_convolution.kernel_gradient`.

    XLA reads images that it pads on the way pixel by pixel, and copies ones that are padded already: up to five times
    faster on large maps.
    """
    (rows, columns), channels, features = kernel_size, images.shape[-1], gradient.shape[-1]
    if _pixels(gradient.shape[1:3], gradient) <= _FEW_PIXELS or kernel_size == (1, 1):
        return plain.kernel_gradient(
            images, gradient, kernel_size=kernel_size, stride=stride, padding=padding, form=_by_taps
        )
    padded = _pad(images, padding)
    if stride == 1 and features <= _FEW_CHANNELS:
        # The transpose of `_by_columns`: the columns of the kernel as further channels.
        shifted = [jnp.pad(gradient, ((0, 0), (0, 0), (j, columns - 1 - j), (0, 0))) for j in range(columns)]
        tall = plain.kernel_gradient(
            padded, jnp.concatenate(shifted, -1), kernel_size=(rows, 1), stride=1, padding=0
        )
        return tall.reshape(rows, channels, columns, features).swapaxes(1, 2)
    shape, least = (*kernel_size, channels, features), _WINOGRAD_CHANNELS_FOR_KERNEL_GRADIENT
    if stride == 1 and _winograd_gains(gradient.shape[1:3], images, shape, least):
        return winograd.kernel_gradient(padded, gradient, kernel_size=kernel_size)
    many = gradient.shape[1] * gradient.shape[2] >= _PIXELS_FOR_KERNEL_GRADIENT
    if many and _rearrangeable(images.shape[1:3], (rows, columns), stride, padding):
        folded = plain.kernel_gradient(
            _fold(padded),
            gradient,
            kernel_size=((rows + 1) // 2, (columns + 1) // 2),
            stride=1,
            padding=0,
        )
        return _unfold_kernel(folded, channels)[:rows, :columns]
    return plain.kernel_gradient(padded, gradient, kernel_size=kernel_size, stride=stride, padding=0)


def transposed_convolve_4x4(
    images: Float[Array, 'b h w c'], kernel: Float[Array, '4 4 c d']
) -> Float[Array, 'b h2 w2 d'] | None:
    """As `convolution.transposed_convolve_4x4`, for few pixels; None for many, which are better off with its phases."""
    (b, h, w, _), features = images.shape, kernel.shape[-1]
    if b * h * w > _FEW_PIXELS:
        return None
    taps = jnp.broadcast_to(images.reshape(1, b * h * w, -1), (16, b * h * w, images.shape[-1]))
    products = jnp.einsum('tmc,tcd->tmd', taps, kernel.reshape(16, -1, features))
    products = products.reshape(16, b, h, w, features)

    def spread(tap: Array, row: int, column: int) -> Array:
        # A pixel reaches every second one, from its tap on.
        zero = jnp.zeros((), tap.dtype)
        return jax.lax.pad(tap, zero, ((0, 0, 0), (row, 3 - row, 1), (column, 3 - column, 1), (0, 0, 0)))

    return _crop(sum(spread(products[4 * i + j], i, j) for i in range(4) for j in range(4)), 1)


def _winograd_gains(size: tuple[int, ...], images: Array, kernel: tuple[int, ...], channels: int) -> bool:
    """Whether Winograd's form is faster, for `size` pixels to be computed by a kernel of such a shape.

    In float32 only: its sums of rows would lose too much in bfloat16.
    """
    square = kernel[0] == kernel[1] and kernel[0] in (3, 4)
    many = _pixels(size, images) >= _WINOGRAD_PIXELS and min(kernel[2:]) >= channels
    return square and many and images.dtype == jnp.float32


def _pixels(size: tuple[int, ...], images: Array) -> int:
    """Pixels of `size` in a batch."""
    return len(images) * size[0] * size[1]


def _output_size(
    size: tuple[int, ...], kernel_size: tuple[int, ...], stride: int, padding: int
) -> tuple[int, ...]:
    return tuple((n + 2 * padding - k) // stride + 1 for n, k in zip(size, kernel_size[:2], strict=True))


def _by_taps(
    images: Float[Array, 'b h w c'], kernel: Float[Array, 'kh kw c d'], *, stride: int, padding: int
) -> Float[Array, 'b h2 w2 d']:
    """Returns the convolution as one matrix product for each tap of the kernel.

    No product, and none of its gradients, wants the kernel transposed or reversed, which for the large kernels that
    small maps have takes longer than the products themselves.
    """
    rows, columns, channels, features = kernel.shape
    h, w = _output_size(images.shape[1:3], kernel.shape, stride, padding)
    padded = _pad(images, padding)
    taps = [
        padded[:, i : i + stride * h : stride, j : j + stride * w : stride][:, :h, :w].reshape(-1, channels)
        for i in range(rows)
        for j in range(columns)
    ]
    products = jnp.einsum('tmc,tcd->tmd', jnp.stack(taps), kernel.reshape(-1, channels, features))
    return products.sum(0).reshape(len(images), h, w, features)


def _pad(x: Float[Array, 'b h w c'], amount: int) -> Float[Array, 'b h2 w2 c']:
    return jnp.pad(x, ((0, 0), (amount, amount), (amount, amount), (0, 0)))


def _crop(x: Float[Array, 'b h w c'], amount: int) -> Float[Array, 'b h2 w2 c']:
    return x[:, amount : x.shape[1] - amount, amount : x.shape[2] - amount]


def _by_columns(
    images: Float[Array, 'b h w c'], kernel: Float[Array, 'kh kw c d']
) -> Float[Array, 'b h2 w2 d']:
    """Returns the convolution to few channels: all columns of the kernel at once, then a sum of shifted images.

    A matrix product with three columns wastes most of a vector unit; with seven times as many it does not.
    """
    rows, columns, channels, features = kernel.shape
    tall = kernel.swapaxes(1, 2).reshape(rows, 1, channels, columns * features)
    products, width = plain.forward(images, tall, stride=1, padding=0), images.shape[2] - columns + 1
    return sum(products[:, :, j : j + width, j * features : (j + 1) * features] for j in range(columns))


def _rearrangeable(size: tuple[int, ...], kernel_size: tuple[int, ...], stride: int, padding: int) -> bool:
    """Whether a stride of 2 is a stride of 1 over 2x2 pixels taken as channels."""
    rows, columns = kernel_size[:2]
    height, width = (n + 2 * padding for n in size)
    return stride == 2 and rows == columns in (3, 4) and height % 2 == width % 2 == 0


def _half(size: tuple[int, int], padding: int) -> tuple[int, int]:
    return (size[0] + 2 * padding) // 2, (size[1] + 2 * padding) // 2


def _fold(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c4']:
    """Takes 2x2 pixels as four times the channels."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).swapaxes(2, 3).reshape(b, h // 2, w // 2, 4 * c)


def _unfold(x: Float[Array, 'b h w c4']) -> Float[Array, 'b h2 w2 c']:
    b, h, w, c = x.shape
    return x.reshape(b, h, w, 2, 2, c // 4).swapaxes(2, 3).reshape(b, 2 * h, 2 * w, c // 4)


def _fold_kernel(kernel: Float[Array, 'kh kw c d']) -> Float[Array, 'kh2 kw2 c4 d']:
    """The kernel for folded images; even sizes."""
    n, m, c, d = kernel.shape
    return kernel.reshape(n // 2, 2, m // 2, 2, c, d).swapaxes(1, 2).reshape(n // 2, m // 2, 4 * c, d)


def _unfold_kernel(kernel: Float[Array, 'kh2 kw2 c4 d'], channels: int) -> Float[Array, 'kh kw c d']:
    n, m, _, d = kernel.shape
    parts = kernel.reshape(n, m, 2, 2, channels, d).swapaxes(1, 2)
    return parts.reshape(2 * n, 2 * m, channels, d)
