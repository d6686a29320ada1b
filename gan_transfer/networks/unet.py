"""The U-Net generator of pix2pix (Isola et al. 2017, section 3.2.1)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gan_transfer.networks import layers
from gan_transfer.networks.layers import Convolution, TransposedConvolution, leaky_relu
from gan_transfer.networks.normalization import BatchNorm


class DownBlock(nn.Module):
    """Leaky ReLU, 4x4 convolution of stride 2, batch norm; the outermost has the convolution alone."""

    features: int
    activate: bool
    normalize: bool
    initializer: layers.Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], axes: tuple[str, ...] | None) -> Float[Array, 'b h2 w2 d']:
        convolution = Convolution(
            self.features,
            4,
            stride=2,
            padding=1,
            use_bias=False,
            initializer=self.initializer,
            dtype=self.dtype,
            name='convolution',
        )
        y = convolution(leaky_relu(x) if self.activate else x)
        return BatchNorm(name='norm')(y, axes) if self.normalize else y


class UpBlock(nn.Module):
    """ReLU, transposed 4x4 convolution of stride 2, batch norm, dropout where keys are given.

    The outermost has a bias in place of the norm.
    """

    features: int
    normalize: bool
    dropout: float
    initializer: layers.Initializer
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Float[Array, 'b h w c'], keys: Key[Array, 'b'] | None, axes: tuple[str, ...] | None
    ) -> Float[Array, 'b h2 w2 d']:
        convolution = TransposedConvolution(
            self.features,
            4,
            use_bias=not self.normalize,
            initializer=self.initializer,
            dtype=self.dtype,
            name='convolution',
        )
        y = convolution(nn.relu(x))
        y = BatchNorm(name='norm')(y, axes) if self.normalize else y
        return layers.dropout(y, self.dropout, keys) if self.dropout and keys is not None else y


class UNetGenerator(nn.Module):
    """`depth` halvings down to a small map and as many doublings back, each beside its mirror; tanh at the end.

    Height and width: multiples of 2^depth. Each doubling sees what its mirror got, which the original's in-place
    activations have made leaky; behind the doubling's own ReLU both are the same. Dropout acts in the blocks of full
    width but the innermost (the original's: three of eight, two of seven). `channels` are the output's.
    """

    depth: int = 8
    width: int = 64
    channels: int = 3
    dropout: float = 0.5
    initializer: layers.Initializer = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32
    rematerialize: bool = False

    @nn.compact
    def __call__(
        self,
        images: Float[Array, 'b h w c'],
        keys: Key[Array, 'b'] | None = None,
        axes: tuple[str, ...] | None = None,
    ) -> tuple[Float[Array, 'b h w d'], dict[str, Array]]:
        """Translates images.

        Args:
          images: in [-1, 1].
          keys: of the dropout, one for each image; None: no dropout.
          axes: mesh axes of the batch, for its statistics; None: every image by its own, see `BatchNorm`.
        """
        shared = {'initializer': self.initializer, 'dtype': self.dtype}
        down = nn.remat(DownBlock, static_argnums=(2,)) if self.rematerialize else DownBlock
        up = nn.remat(UpBlock, static_argnums=(3,)) if self.rematerialize else UpBlock
        last = self.depth - 1
        x, encoded, features = images.astype(self.dtype), [], {}
        for i in range(self.depth):
            block = down(
                self.width * min(2**i, 8),
                activate=i > 0,
                normalize=0 < i < last,
                **shared,
                name=f'down_{i}',
            )
            x = features[f'down_{i}'] = block(x, axes)
            encoded.append(x)
        for i in reversed(range(self.depth)):
            x = encoded[i] if i == last else jnp.concatenate([encoded[i], x], axis=-1)
            block = up(
                self.width * min(2 ** (i - 1), 8) if i else self.channels,
                normalize=i > 0,
                dropout=self.dropout if 4 <= i < last else 0.0,
                **shared,
                name=f'up_{i}',
            )
            block_keys = None if keys is None else jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys)
            x = block(x, block_keys, axes)
        return jnp.tanh(x.astype(jnp.float32)), features
