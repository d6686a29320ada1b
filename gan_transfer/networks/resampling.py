"""Half and twice the size by blurring, in the form that suits the platform."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def blur_downsample(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """Every second pixel of the image blurred by [1, 2, 1] / 4 in both directions, borders mirrored (Zhang 2019)."""
    return jax.lax.platform_dependent(
        x, cpu=_blur_downsample_by_slices, cuda=_blur_downsample_by_slices, default=blur_downsample_by_filter
    )


def blur_upsample(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """Twice the size by the filter [1, 3, 3, 1] / 4 in both directions, borders repeated: linear interpolation."""
    return jax.lax.platform_dependent(
        x, cpu=_blur_upsample_by_slices, cuda=_blur_upsample_by_slices, default=blur_upsample_by_filter
    )


def blur_downsample_by_filter(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """What `blur_downsample` is on a TPU: one pass over the image, where slices of it are several."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='reflect')
    return _filter(padded, (1, 2, 1), window_strides=(2, 2))


def blur_upsample_by_filter(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """What `blur_upsample` is on a TPU: one pass over the image, nothing to interleave."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='edge')
    return _filter(padded, (1, 3, 3, 1), window_strides=(1, 1), lhs_dilation=(2, 2))


def _filter(x: Array, taps: tuple[int, ...], **steps: Any) -> Array:
    """Filters every channel by itself with taps / 4 in both directions, without padding."""
    row = jnp.array(taps, x.dtype) / 4
    kernel = jnp.broadcast_to((row[:, None] * row)[:, :, None, None], (len(taps), len(taps), 1, x.shape[-1]))
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        padding=((0, 0), (0, 0)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=x.shape[-1],
        **steps,
    )


def _blur_downsample_by_slices(x: Array) -> Array:
    def halve(y: Array, axis: int) -> Array:
        # As pairs of pixels: slices with a step have slow gradients.
        edges = [(0, 0)] * 4
        edges[axis] = (1, 1 + y.shape[axis] % 2)
        padded = jnp.pad(y, edges, mode='reflect')
        size = padded.shape[axis] // 2
        pairs = padded.reshape(*y.shape[:axis], size, 2, *y.shape[axis + 1 :])
        even, odd = (jax.lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in (0, 1))
        here, between, following = (
            jax.lax.slice_in_dim(part, start, start + size - 1, axis=axis)
            for part, start in ((even, 0), (odd, 0), (even, 1))
        )
        return (here + 2 * between + following) / 4

    return halve(halve(x, 1), 2)


def _blur_upsample_by_slices(x: Array) -> Array:
    def double(y: Array, axis: int) -> Array:
        edges = [(0, 0)] * 4
        edges[axis] = (1, 1)
        padded, size = jnp.pad(y, edges, mode='edge'), y.shape[axis]
        before, after = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in (0, 2))
        pair = jnp.stack([0.75 * y + 0.25 * before, 0.75 * y + 0.25 * after], axis=axis + 1)
        return pair.reshape(*y.shape[:axis], 2 * size, *y.shape[axis + 1 :])

    return double(double(x, 1), 2)
