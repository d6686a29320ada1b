"""The layers that the networks are made of."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from gan_transfer.networks import convolution

Initializer = Callable[..., Array]

# He et al. 2015 as PyTorch draws it: an untruncated normal with variance 2 / fan-in.
he_normal = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')
# One linear layer per domain, stacked on axis 0, which does not count as fan-in.
he_normal_by_domain = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal', batch_axis=(0,))


def xavier_normal(gain: float) -> Initializer:
    """Glorot and Bengio 2010: an untruncated normal with variance 2 gain^2 / (fan-in + fan-out)."""
    return nn.initializers.variance_scaling(gain**2, 'fan_avg', 'normal')


def leaky_relu(x: Float[Array, '...']) -> Float[Array, '...']:
    return nn.leaky_relu(x, 0.2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def reflection_pad(x: Float[Array, 'b h w c'], amount: int) -> Float[Array, 'b h2 w2 c']:
    """Mirrors `amount` pixels at each border without repeating the edge.

    Reverse-mode derivatives of any order; no forward mode.

    Raises:
      ValueError: if height or width is not larger than `amount`.
    """
    if min(x.shape[1:3]) <= amount:
        raise ValueError(
            f'an image of {x.shape[1]}x{x.shape[2]} pixels has no {amount} to mirror at each border'
        )
    return jax.lax.platform_dependent(
        x,
        cpu=lambda y: jnp.pad(y, ((0, 0), (amount, amount), (amount, amount), (0, 0)), mode='reflect'),
        # Borders set beside the image are two passes over it on accelerators, with nothing fused into the second.
        default=functools.partial(reflection_pad_as_sum, amount=amount),
    )


class _Part(NamedTuple):
    """Along one direction: pixels that are put to another place."""

    start: int
    count: int
    to: int
    mirrored: bool


def _padding(size: int, amount: int) -> tuple[_Part, ...]:
    """Where `size` pixels are after the padding: once as they are, and mirrored at both ends."""
    centre = _Part(0, size, amount, mirrored=False)
    ends = (
        _Part(1, amount, 0, mirrored=True),
        _Part(size - 1 - amount, amount, amount + size, mirrored=True),
    )
    return (centre, *ends)


def reflection_pad_as_sum(x: Float[Array, 'b h w c'], amount: int) -> Float[Array, 'b h2 w2 c']:
    """What `reflection_pad` is on accelerators: the nine parts of the result, each in zeros, as one sum."""
    height, width = x.shape[1:3]
    sizes = (height + 2 * amount, width + 2 * amount)
    return _sum_of_parts(x, sizes, _padding(height, amount), _padding(width, amount))


def _reflection_pad_pulled_back(amount: int, _: None, gradient: Array) -> tuple[Array]:
    # Centre, borders and corners as one sum, which becomes one pass over the image or none; the derivative of `jnp.pad`
    # is a pass for each border.
    height, width = (size - 2 * amount for size in gradient.shape[1:3])
    back = [
        tuple(part._replace(start=part.to, to=part.start) for part in _padding(size, amount))
        for size in (height, width)
    ]
    return (_sum_of_parts(gradient, (height, width), *back),)


def _sum_of_parts(
    x: Array, sizes: tuple[int, int], rows: tuple[_Part, ...], columns: tuple[_Part, ...]
) -> Array:
    """Sums, for every part of the rows and every part of the columns, x's part put into zeros of `sizes`."""
    total = jnp.zeros((), x.dtype)
    for row in rows:
        for column in columns:
            part = x[:, row.start : row.start + row.count, column.start : column.start + column.count]
            part = jax.lax.rev(part, [axis for axis, one in ((1, row), (2, column)) if one.mirrored])
            edges = [
                (one.to, size - one.count - one.to) for one, size in zip((row, column), sizes, strict=True)
            ]
            total += jnp.pad(part, ((0, 0), *edges, (0, 0)))
    return total


reflection_pad.defvjp(lambda x, amount: (reflection_pad(x, amount), None), _reflection_pad_pulled_back)


def average_pool(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """Means of 2x2 pixels; height and width must be even."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def upsample_nearest(x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """Every pixel as 2x2 pixels."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def high_pass(x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
    """Every pixel against its eight neighbours: 8 times itself minus their sum, with zeros outside."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return 9 * x - (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:])


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
            y = add_bias(y, self.param('bias', nn.initializers.zeros_init(), (self.features,)))
        return y


class TransposedConvolution(nn.Module):
    """The transposed convolution that doubles height and width; `kernel` [k, k, in, out] with k 3 or 4."""

    features: int
    kernel_size: int = 3
    use_bias: bool = True
    initializer: Initializer = he_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param('kernel', self.initializer, shape)
        convolve = {3: convolution.transposed_convolve_3x3, 4: convolution.transposed_convolve_4x4}
        y = convolve[self.kernel_size](x.astype(self.dtype), kernel)
        if self.use_bias:
            y = add_bias(y, self.param('bias', nn.initializers.zeros_init(), (self.features,)))
        return y


class Dense(nn.Module):
    """A linear layer along the last axis; parameters `kernel` [in, out] and `bias`."""

    features: int
    initializer: Initializer = he_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, '*places c']) -> Float[Array, '*places d']:
        kernel = self.param('kernel', self.initializer, (x.shape[-1], self.features))
        y = jnp.dot(x.astype(self.dtype), kernel.astype(self.dtype))
        return add_bias(y, self.param('bias', nn.initializers.zeros_init(), (self.features,)))


@jax.custom_vjp
def add_bias(
    x: Float[Array, '*places c'], bias: Float[Array | np.ndarray, ' c']
) -> Float[Array, '*places c']:
    """Returns x + bias in the type of `x`, with the derivative by `bias` in float32.

    In bfloat16 it would be a sum over all places in bfloat16, which stops growing once the next term is below half a
    unit of the last place: at 64 x 64 px half of it is lost. Reverse-mode derivatives of any order; no forward mode.
    """
    return x + bias.astype(x.dtype)


def _add_bias(x: Array, bias: Array) -> tuple[Array, None]:
    return add_bias(x, bias), None


def _add_bias_pulled_back(given: None, gradient: Array) -> tuple[Array, Array]:
    del given
    return gradient, gradient.astype(jnp.float32).sum(range(gradient.ndim - 1))


add_bias.defvjp(_add_bias, _add_bias_pulled_back)


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


def dropout(x: Float[Array, 'b ...'], rate: float, keys: Key[Array, 'b']) -> Float[Array, 'b ...']:
    """Sets a share `rate` of the values to 0 and scales the others up; each sample by a key of its own."""
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(kept, x / (1 - rate), 0)


def select_domain(x: Float[Array, 'b domains ...'], domain: Int[Array, 'b']) -> Float[Array, 'b ...']:
    """Picks each sample's own domain from axis 1."""
    # By a mask: the derivative of indexing is a loop over the samples on a TPU.
    mask = domain[:, None] == jnp.arange(x.shape[1])
    return jnp.where(mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)), x, 0).sum(1)
