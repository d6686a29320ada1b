"""The layers that the networks are made of."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_transfer.networks import convolution

Initializer = Callable[..., Array]

# He et al. 2015 as PyTorch draws it: an untruncated normal with variance 2 / fan-in.
he_normal = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')
# One linear layer per domain, stacked on axis 0, which does not count as fan-in.
he_normal_by_domain = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal', batch_axis=(0,))


def leaky_relu(x: Float[Array, '...']) -> Float[Array, '...']:
    return nn.leaky_relu(x, 0.2)


def reflection_pad(x: Float[Array, 'b h w c'], amount: int) -> Float[Array, 'b h2 w2 c']:
    """Mirrors `amount` pixels at each border without repeating the edge."""
    return jnp.pad(x, ((0, 0), (amount, amount), (amount, amount), (0, 0)), mode='reflect')


def average_pool(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """Means of 2x2 pixels; height and width must be even."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def upsample_nearest(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """Every pixel as 2x2 pixels."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def normalize_instances(x: Float[Array, 'b h w c'], epsilon: float = 1e-5) -> Float[Array, 'b h w c']:
    """Instance normalization (Ulyanov et al. 2016): zero mean, unit variance per image and channel, in float32."""
    values = x.astype(jnp.float32)
    centred = values - values.mean((1, 2), keepdims=True)
    variance = jnp.square(centred).mean((1, 2), keepdims=True)
    return (centred * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)


class Convolution(nn.Module):
    """A square convolution with explicit zero padding; parameters `kernel` [kh, kw, in, out] and `bias`.

    Attributes:
      resample: 'average' halves the output by 2x2 means, 'nearest' doubles the input; both want kernel size 3 and
        padding 1, and are computed as one.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    resample: str = 'none'
    use_bias: bool = True
    initializer: Initializer = he_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel, x = self.param('kernel', self.initializer, shape), x.astype(self.dtype)
        if self.resample == 'average':
            y = convolution.convolve_3x3_then_average(x, kernel)
        elif self.resample == 'nearest':
            y = convolution.upsample_then_convolve_3x3(x, kernel)
        else:
            y = convolution.convolve(x, kernel, stride=self.stride, padding=self.padding)
        if self.use_bias:
            y += self.param('bias', nn.initializers.zeros_init(), (self.features,)).astype(self.dtype)
        return y


class TransposedConvolution(nn.Module):
    """The transposed 3x3 convolution that doubles height and width; `kernel` [3, 3, in, out]."""

    features: int
    initializer: Initializer = he_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
        kernel = self.param('kernel', self.initializer, (3, 3, x.shape[-1], self.features))
        bias = self.param('bias', nn.initializers.zeros_init(), (self.features,)).astype(self.dtype)
        return convolution.transposed_convolve_3x3(x.astype(self.dtype), kernel) + bias


class InstanceNorm(nn.Module):
    """Instance normalization with a learnt scale and offset per channel."""

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
        scale = self.param('scale', nn.initializers.ones_init(), (x.shape[-1],)).astype(x.dtype)
        bias = self.param('bias', nn.initializers.zeros_init(), (x.shape[-1],)).astype(x.dtype)
        return normalize_instances(x) * scale + bias


class AdaptiveInstanceNorm(nn.Module):
    """AdaIN (Huang and Belongie 2017) with scale and offset read from a style code: (1 + gamma) IN(x) + beta."""

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], style: Float[Array, 'b s']) -> Float[Array, 'b h w c']:
        linear = nn.Dense(2 * x.shape[-1], kernel_init=he_normal, dtype=x.dtype, name='linear')
        gamma, beta = jnp.split(linear(style)[:, None, None, :], 2, axis=-1)
        return (1 + gamma) * normalize_instances(x) + beta


class DomainDense(nn.Module):
    """One linear layer per domain: `kernel` [domains, in, out]. The input is shared, or has a domain axis already."""

    domains: int
    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'b *domains c']) -> Float[Array, 'b domains d']:
        kernel = self.param('kernel', he_normal_by_domain, (self.domains, x.shape[-1], self.features))
        bias = self.param('bias', nn.initializers.zeros_init(), (self.domains, self.features))
        equation = 'bi,dio->bdo' if x.ndim == 2 else 'bdi,dio->bdo'
        return jnp.einsum(equation, x.astype(self.dtype), kernel.astype(self.dtype)) + bias.astype(self.dtype)


def select_domain(x: Float[Array, 'b domains ...'], domain: Int[Array, 'b']) -> Float[Array, 'b ...']:
    """Picks each sample's own domain from axis 1."""
    return jax.vmap(lambda row, index: row[index])(x, domain)
