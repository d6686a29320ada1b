"""Inception-v3 (Szegedy et al. 2016) in the two forms that image sets are measured by.

'fid': the release of 2015-12-05, the one of every published FID. 'torchvision': the classifier of torchvision, the one
of StarGAN v2's protocol. They differ in their pooling branches: FID's means leave out the padding and its last block
takes maxima; torchvision's means count the padding as zeros, in the last block as well. Batch norms are folded into the
convolutions when weights are loaded. Names are those of PyTorch's files.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks.imagenet import normalize

Features = dict[str, Array]
Maps = Float[Array, 'b _ _ _']
Pool = Callable[[Maps], Maps]
SIZE = 299  # px, what images are resized to


class _Layer(nn.Module):
    """A convolution, its folded batch norm, ReLU; padded to keep the size, or not at all."""

    features: int
    kernel_size: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        padding = [(size // 2, size // 2) if self.padded else (0, 0) for size in self.kernel_size]
        return nn.relu(
            nn.Conv(self.features, self.kernel_size, (self.stride, self.stride), padding, name='conv')(x)
        )


def _chain(x: Maps, prefix: str, layers: Sequence[tuple], start: int = 1) -> Maps:
    """Applies layers named `prefix`_1, `prefix`_2, ...: (features, kernel size) or (features, kernel size, stride)."""
    for i, (features, size, *stride) in enumerate(layers, start=start):
        x = _Layer(features, size, *stride, padded=not stride, name=f'{prefix}_{i}')(x)
    return x


def _max_pool(x: Maps) -> Maps:
    return nn.max_pool(x, (3, 3), (1, 1), [(1, 1), (1, 1)])


def _mean_pool(x: Maps, *, count_padding: bool) -> Maps:
    return nn.avg_pool(x, (3, 3), (1, 1), [(1, 1), (1, 1)], count_include_pad=count_padding)


_mean_of_image = functools.partial(_mean_pool, count_padding=False)
_mean_with_padding = functools.partial(_mean_pool, count_padding=True)
# Variant -> the pooling branches of all blocks but the last, and of the last.
POOLS = {'fid': (_mean_of_image, _max_pool), 'torchvision': (_mean_with_padding, _mean_with_padding)}
_reduce = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))


class _BlockA(nn.Module):
    """At 35x35: 1x1, 5x5, two 3x3, pooling."""

    pooled: int
    pool: Pool

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        branches = (
            _Layer(64, name='branch1x1')(x),
            _chain(x, 'branch5x5', [(48, (1, 1)), (64, (5, 5))]),
            _chain(x, 'branch3x3dbl', [(64, (1, 1)), (96, (3, 3)), (96, (3, 3))]),
            _Layer(self.pooled, name='branch_pool')(self.pool(x)),
        )
        return jnp.concatenate(branches, -1)


class _BlockB(nn.Module):
    """From 35x35 to 17x17."""

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        branches = (
            _Layer(384, (3, 3), 2, padded=False, name='branch3x3')(x),
            _chain(x, 'branch3x3dbl', [(64, (1, 1)), (96, (3, 3)), (96, (3, 3), 2)]),
            _reduce(x),
        )
        return jnp.concatenate(branches, -1)


class _BlockC(nn.Module):
    """At 17x17: 1x1, 7x7 and two 7x7 in parts, pooling."""

    width: int
    pool: Pool

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        w, wide, tall = self.width, (1, 7), (7, 1)
        branches = (
            _Layer(192, name='branch1x1')(x),
            _chain(x, 'branch7x7', [(w, (1, 1)), (w, wide), (192, tall)]),
            _chain(x, 'branch7x7dbl', [(w, (1, 1)), (w, tall), (w, wide), (w, tall), (192, wide)]),
            _Layer(192, name='branch_pool')(self.pool(x)),
        )
        return jnp.concatenate(branches, -1)


class _BlockD(nn.Module):
    """From 17x17 to 8x8."""

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        branches = (
            _chain(x, 'branch3x3', [(192, (1, 1)), (320, (3, 3), 2)]),
            _chain(x, 'branch7x7x3', [(192, (1, 1)), (192, (1, 7)), (192, (7, 1)), (192, (3, 3), 2)]),
            _reduce(x),
        )
        return jnp.concatenate(branches, -1)


class _BlockE(nn.Module):
    """At 8x8: 1x1, 3x3 and two 3x3 with a cross at the end, pooling."""

    pool: Pool

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        def cross(y: Maps, prefix: str) -> list[Maps]:
            return [_Layer(384, (1, 3), name=f'{prefix}a')(y), _Layer(384, (3, 1), name=f'{prefix}b')(y)]

        double = _chain(x, 'branch3x3dbl', [(448, (1, 1)), (384, (3, 3))])
        branches = (
            _Layer(320, name='branch1x1')(x),
            *cross(_chain(x, 'branch3x3', [(384, (1, 1))]), 'branch3x3_2'),
            *cross(double, 'branch3x3dbl_3'),
            _Layer(192, name='branch_pool')(self.pool(x)),
        )
        return jnp.concatenate(branches, -1)


class Inception(nn.Module):
    """Pooled features of Inception-v3.

    Attributes:
      variant: 'fid' or 'torchvision'; the latter's images are normalized by ImageNet's mean and deviation, as StarGAN
        v2 does. (Its weights were trained on [-1, 1], which torchvision's own model goes back to; StarGAN v2 calls the
        blocks alone, and so do we.)
    """

    variant: str

    @nn.compact
    def __call__(self, images: Float[Array, 'b h w 3']) -> tuple[Float[Array, 'b 2048'], Features]:
        """Returns the 2,048 pooled features of images in [-1, 1], resized to 299 px (bilinear, not antialiased).

        The features are `last`: what is pooled, [b, 8, 8, 2048].

        Raises:
          ValueError: for an unknown variant.
        """
        if self.variant not in POOLS:
            raise ValueError(f'unknown variant {self.variant!r} of Inception: {" or ".join(POOLS)}')
        pool, last_pool = POOLS[self.variant]
        x = jax.image.resize(images, (len(images), SIZE, SIZE, 3), 'linear', antialias=False)
        if self.variant == 'torchvision':
            x = normalize(x)
        x = _Layer(32, (3, 3), 2, padded=False, name='Conv2d_1a_3x3')(x)
        x = _Layer(32, (3, 3), padded=False, name='Conv2d_2a_3x3')(x)
        x = _reduce(_Layer(64, (3, 3), name='Conv2d_2b_3x3')(x))
        x = _Layer(80, name='Conv2d_3b_1x1')(x)
        x = _reduce(_Layer(192, (3, 3), padded=False, name='Conv2d_4a_3x3')(x))
        for letter, pooled in zip('bcd', (32, 64, 64), strict=True):
            x = _BlockA(pooled, pool, name=f'Mixed_5{letter}')(x)
        x = _BlockB(name='Mixed_6a')(x)
        for letter, width in zip('bcde', (128, 160, 160, 192), strict=True):
            x = _BlockC(width, pool, name=f'Mixed_6{letter}')(x)
        x = _BlockD(name='Mixed_7a')(x)
        x = _BlockE(pool, name='Mixed_7b')(x)
        x = _BlockE(last_pool, name='Mixed_7c')(x)
        return x.mean((1, 2)), {'last': x}
