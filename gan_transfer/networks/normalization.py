"""What sets the scale of features: of each channel of an image, of each place, or of a whole batch."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gan_transfer.networks import layers
from gan_transfer.networks.two_means import two_means

Normalize = Callable[[Array], Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def normalize_instances(x: Float[Array, 'b h w c'], epsilon: float = 1e-5) -> Float[Array, 'b h w c']:
    """Instance normalization (Ulyanov et al. 2016): zero mean, unit variance per image and channel, in float32.

    Reverse-mode derivatives of any order; no forward mode.
    """
    return _normalize_instances(x, epsilon)[0]


def _normalize_instances(x: Array, epsilon: float) -> tuple[Array, tuple[Array, Array, Array]]:
    values = x.astype(jnp.float32)
    if x.dtype == jnp.bfloat16:
        # Both sums in one pass. Their difference loses some 2^-23 of the mean's square; rounding to bfloat16 has
        # added 2^-19 of it to the variance before.
        mean, squares = two_means(values, jnp.square(values))
        variance = jnp.maximum(squares - jnp.square(mean), 0)
    else:
        mean = values.mean((1, 2), keepdims=True)
        variance = jnp.square(values - mean).mean((1, 2), keepdims=True)
    scale = jax.lax.rsqrt(variance + epsilon)
    return ((values - mean) * scale).astype(x.dtype), (x, mean, scale)


def _normalize_instances_pulled_back(
    epsilon: float, given: tuple[Array, Array, Array], gradient: Array
) -> tuple[Array]:
    # The sum of a few means; the derivatives of the single operations are as many passes over the image.
    x, mean, scale = given
    normalized, values = (x.astype(jnp.float32) - mean) * scale, gradient.astype(jnp.float32)
    average, along = two_means(values, values * normalized)
    return ((scale * (values - average - normalized * along)).astype(x.dtype),)


normalize_instances.defvjp(_normalize_instances, _normalize_instances_pulled_back)


def normalize_pixels(x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
    """Pixel normalization (Karras et al. 2018, section 4.2): a mean square of 1 at each place, in float32."""
    values = x.astype(jnp.float32)
    squares = jnp.square(values).mean(-1, keepdims=True)
    return (values * jax.lax.rsqrt(squares + 1e-5)).astype(x.dtype)


def scale_initializer(key: Key[Array, ''], shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Scales of a batch norm as pix2pix draws them: normal around 1."""
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class BatchNorm(nn.Module):
    """Batch normalization (Ioffe and Szegedy 2015) with learnt scale and offset, in float32, and no running statistics.

    Called with the mesh axes that the batch is split along, () where it is not, it takes mean and variance over the
    whole batch, on all devices. With None, every image is normalized by itself, so that no image depends on its
    neighbours in a batch: what the original does when it translates (one image at a time, by that image's statistics).
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b h w c'], axes: tuple[str, ...] | None = None
    ) -> Float[Array, 'b h w c']:
        scale = self.param('scale', scale_initializer, (x.shape[-1],))
        bias = self.param('bias', nn.initializers.zeros_init(), (x.shape[-1],))
        values = x.astype(jnp.float32)

        def mean(y: Array) -> Array:
            if axes is None:
                return y.mean((1, 2), keepdims=True)
            return jax.lax.pmean(y.mean((0, 1, 2)), axes)

        centred = values - mean(values)
        normalized = centred * jax.lax.rsqrt(mean(jnp.square(centred)) + 1e-5)
        return (normalized * scale + bias).astype(x.dtype)


def scaled(x: Float[Array, 'b h w c'], scale: Array, bias: Array) -> Float[Array, 'b h w c']:
    """Returns scale x + bias, in the type of `x` but computed in float32.

    Args: images; scale and bias in float32, [c] or [b, 1, 1, c].

    Else the derivatives by both would be sums in bfloat16 over all places: see `layers.add_bias`.
    """
    return (scale * x.astype(jnp.float32) + bias).astype(x.dtype)


class LearntNorm(nn.Module):
    """A normalization with a learnt scale and offset per channel."""

    normalize: Normalize = normalize_instances

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
        scale = self.param('scale', nn.initializers.ones_init(), (x.shape[-1],))
        bias = self.param('bias', nn.initializers.zeros_init(), (x.shape[-1],))
        return scaled(self.normalize(x), scale, bias)


class StyledNorm(nn.Module):
    """A normalization with scale and offset read from a style code: (1 + gamma) N(x) + beta.

    With instance normalization it is AdaIN (Huang and Belongie 2017).
    """

    normalize: Normalize = normalize_instances

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], style: Float[Array, 'b s']) -> Float[Array, 'b h w c']:
        linear = layers.Dense(2 * x.shape[-1], dtype=x.dtype, name='linear')
        gamma, beta = jnp.split(linear(style)[:, None, None, :].astype(jnp.float32), 2, axis=-1)
        return scaled(self.normalize(x), 1 + gamma, beta)
