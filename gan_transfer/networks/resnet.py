"""The ResNet generator of CycleGAN (Zhu et al. 2017, appendix 7.2; residual blocks of Johnson et al. 2016) and CUT."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks import layers
from gan_transfer.networks.layers import Convolution, TransposedConvolution, reflection_pad
from gan_transfer.networks.normalization import normalize_instances
from gan_transfer.networks.resampling import blur_downsample, blur_upsample


def check(*, antialias: bool, skips: bool, residual: bool, clip: bool) -> None:
    """Raises ValueError for what `ResNetGenerator` can't be."""
    if skips and not antialias:
        raise ValueError('skips is True and antialias False; skips needs antialias=True')
    if clip and not residual:
        raise ValueError('clip is True and residual False; clip needs residual=True')


class ResidualBlock(nn.Module):
    """Two reflection-padded 3x3 convolutions with instance norm, added to the input; no activation after the sum."""

    initializer: layers.Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
        def convolve(y: Array, name: str) -> Array:
            module = Convolution(x.shape[-1], 3, initializer=self.initializer, dtype=self.dtype, name=name)
            return normalize_instances(module(reflection_pad(y, 1)))

        return x + convolve(nn.relu(convolve(x, 'convolution_0')), 'convolution_1')


class ResNetGenerator(nn.Module):
    """Encoder, residual blocks at a quarter of the size, decoder, tanh. Height and width: multiples of 4.

    Instance norm has neither learnt scale nor running statistics, as in the original. `antialias` resamples by blurring
    in place of strides (CUT). `channels` are the output's; with `residual` the input's too. The features by name:
    `padded` (the image with its mirrored border), `input` and `down_i` (a convolution's output), `input_activated` and
    `down_i_activated` (normalized and rectified), `down_i_blurred` (with `antialias`, resampled), `block_i`.

    Not in the papers: `residual` adds the image to the output, in place of tanh: training starts near the identity.
    `clip` clips that sum to what can be saved. Else the discriminator tells sums beyond black and white from images,
    and the generator of drawings learns to stay away from both. `skips` shows the decoder the encoder's features of its
    size, as a U-Net's: edges that a quarter of the size has lost; only with `antialias`, whose decoder resamples first
    and then convolves.
    """

    width: int = 64
    blocks: int = 9
    channels: int = 3
    antialias: bool = False
    residual: bool = False
    clip: bool = False
    skips: bool = False
    initializer: layers.Initializer = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32
    rematerialize: bool = False

    @nn.compact
    def __call__(self, images: Float[Array, 'b h w c']) -> tuple[Float[Array, 'b h w d'], dict[str, Array]]:
        shared = {'initializer': self.initializer, 'dtype': self.dtype}
        features = {'padded': reflection_pad(images.astype(self.dtype), 3)}
        x = features['input'] = Convolution(self.width, 7, **shared, name='input')(features['padded'])
        x = features['input_activated'] = nn.relu(normalize_instances(x))
        encoded = []
        stride = 1 if self.antialias else 2
        for i in range(2):
            encoded.append(x)
            width = self.width * 2 ** (i + 1)
            x = Convolution(width, 3, stride=stride, padding=1, **shared, name=f'down_{i}')(x)
            features[f'down_{i}'] = x
            x = features[f'down_{i}_activated'] = nn.relu(normalize_instances(x))
            if self.antialias:
                x = features[f'down_{i}_blurred'] = blur_downsample(x)
        block = nn.remat(ResidualBlock) if self.rematerialize else ResidualBlock
        for i in range(self.blocks):
            x = block(**shared, name=f'block_{i}')(x)
            features[f'block_{i}'] = x
        for i in range(2):
            width = self.width * 2 ** (1 - i)
            if self.antialias:
                x = blur_upsample(x)
                if self.skips:
                    x = jnp.concatenate([x, encoded[1 - i]], axis=-1)
                x = Convolution(width, 3, padding=1, **shared, name=f'up_{i}')(x)
            else:
                x = TransposedConvolution(width, **shared, name=f'up_{i}')(x)
            x = nn.relu(normalize_instances(x))
        x = Convolution(self.channels, 7, **shared, name='output')(reflection_pad(x, 3))
        x = x.astype(jnp.float32)
        if not self.residual:
            return jnp.tanh(x), features
        return jnp.clip(images + x, -1, 1) if self.clip else images + x, features
