"""The four networks of StarGAN v2 (Choi et al. 2020, appendix A).

The generator of faces adds detail of the source where masks show the landmarks of the face; the network that finds
those is left out, and masks are given or not.

Differs from the reference in how the same numbers are computed: a 1x1 shortcut is applied on the smaller side of its
resampling (both are linear, one acts on channels and the other on pixels), and a 3x3 convolution and the resampling
beside it are one convolution (`convolution.py`).
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_transfer.networks import layers
from gan_transfer.networks.layers import (
    Convolution,
    DomainDense,
    average_pool,
    leaky_relu,
    select_domain,
    upsample_nearest,
)
from gan_transfer.networks.normalization import (
    LearntNorm,
    Normalize,
    StyledNorm,
    normalize_instances,
    normalize_pixels,
)

Features = dict[str, Array]
MASKED = (32, 64, 128)  # px, sizes of the feature maps that masks act on


def check(
    image_size: int,
    *,
    downsamplings: int,
    bottleneck_blocks: int,
    high_pass_weight: float,
    discriminator_blocks: int,
) -> None:
    """Raises ValueError, with the choices, for networks that cannot be at this size, or that leave out the masks."""
    halvings = int(math.log2(image_size)) if image_size > 0 else 0
    if image_size != 2**halvings or image_size < 16:
        raise ValueError(f'image_size is {image_size}; stargan_v2 takes powers of two from 16 on')
    if downsamplings > halvings - 2:
        raise ValueError(f'downsamplings is {downsamplings}; at {image_size} px at most {halvings - 2}')
    if discriminator_blocks > halvings - 1:
        raise ValueError(
            f'discriminator_blocks is {discriminator_blocks}; at {image_size} px at most {halvings - 1}'
        )
    # The smallest map is that of the bottleneck, which an encoder without one makes and does not work on.
    seen = [image_size // 2**i for i in range(downsamplings + bool(bottleneck_blocks))]
    if high_pass_weight and not set(seen) & set(MASKED):
        raise ValueError(
            f'high_pass_weight is {high_pass_weight}; masks act on feature maps of 32, 64 or 128 px, at '
            f'{image_size} px there are {", ".join(map(str, seen))}: set it to 0, or change image_size or downsamplings'
        )


class ResidualBlock(nn.Module):
    """Pre-activation residual block, of unit variance: (shortcut + residual) / sqrt 2."""

    features: int
    normalize: bool = False
    downsample: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 d']:
        shortcut = average_pool(x) if self.downsample else x
        if x.shape[-1] != self.features:
            shortcut = Convolution(self.features, 1, use_bias=False, dtype=self.dtype, name='shortcut')(
                shortcut
            )
        y = LearntNorm(name='norm_0')(x) if self.normalize else x
        resample = 'average' if self.downsample else 'none'
        first = Convolution(
            x.shape[-1], 3, padding=1, resample=resample, dtype=self.dtype, name='convolution_0'
        )
        y = first(leaky_relu(y))
        y = LearntNorm(name='norm_1')(y) if self.normalize else y
        y = Convolution(self.features, 3, padding=1, dtype=self.dtype, name='convolution_1')(leaky_relu(y))
        return (shortcut + y) / math.sqrt(2)


class StyledResidualBlock(nn.Module):
    """The decoder's residual block, with styled norms, AdaIN by default; without `shortcut` the residual as it is."""

    features: int
    upsample: bool = False
    shortcut: bool = True
    normalize: Normalize = normalize_instances
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w c'], style: Float[Array, 'b s']) -> Float[Array, 'b h2 w2 d']:
        y = leaky_relu(StyledNorm(self.normalize, name='norm_0')(x, style))
        resample = 'nearest' if self.upsample else 'none'
        y = Convolution(
            self.features, 3, padding=1, resample=resample, dtype=self.dtype, name='convolution_0'
        )(y)
        y = leaky_relu(StyledNorm(self.normalize, name='norm_1')(y, style))
        y = Convolution(self.features, 3, padding=1, dtype=self.dtype, name='convolution_1')(y)
        if not self.shortcut:
            return y
        shortcut = x
        if x.shape[-1] != self.features:
            shortcut = Convolution(self.features, 1, use_bias=False, dtype=self.dtype, name='shortcut')(x)
        return ((upsample_nearest(shortcut) if self.upsample else shortcut) + y) / math.sqrt(2)


class Generator(nn.Module):
    """Renders a source image in the style of a style code: encoder, bottleneck, styled decoder; no tanh.

    Attributes:
      width: channels at full size; doubled at each of the `downsamplings`, up to `max_width`.
      residual: add the output to the source, and begin near the identity; not at it, where outputs by two styles would
        be one image, and their distance without a gradient.
      clip: clip outputs to what can be saved. Else the discriminator tells numbers beyond black and white from images.
      pixel_norm: the decoder's norms take each place by itself in place of each channel of an image. With AdaIN how
        strong a colour comes out depends on how much of the image has it, and generators learn to draw spots by which
        they set the scale (Karras et al. 2020, section 3).
      skips: behind each upsampling one more block, which sees the encoder's features of that size as well.
      high_pass_weight: above 0 the generator of faces, whose decoder has no shortcuts, and takes what is masked of the
        encoder's features at 32, 64 and 128 px, high-pass filtered and divided by this.
    """

    width: int
    downsamplings: int
    max_width: int = 512
    bottleneck_blocks: int = 2
    residual: bool = False
    clip: bool = False
    pixel_norm: bool = False
    skips: bool = False
    high_pass_weight: float = 0.0
    dtype: Any = jnp.float32
    rematerialize: bool = False

    @nn.compact
    def __call__(
        self,
        images: Float[Array, 'b h w 3'],
        style: Float[Array, 'b s'],
        masks: Float[Array, 'b h w 2'] | None = None,
    ) -> tuple[Float[Array, 'b h w 3'], Features]:
        """Translates images.

        Args:
          images: in [-1, 1].
          style: style codes.
          masks: in [0, 1], with `high_pass_weight`: where the source's detail is kept, at 32 px and at 64 and 128.
        """
        encoder_block = nn.remat(ResidualBlock) if self.rematerialize else ResidualBlock
        decoder_block = nn.remat(StyledResidualBlock) if self.rematerialize else StyledResidualBlock
        # The first is not capped: neither is the original's.
        widths = [
            self.width,
            *(min(self.width * 2**i, self.max_width) for i in range(1, self.downsamplings + 1)),
        ]
        features, kept, encoded = {}, {}, []
        x = Convolution(widths[0], 3, padding=1, dtype=self.dtype, name='from_rgb')(images.astype(self.dtype))
        encoder = [(w, True) for w in widths[1:]] + [(widths[-1], False)] * self.bottleneck_blocks
        for i, (width, down) in enumerate(encoder):
            if self.high_pass_weight and masks is not None and x.shape[1] in MASKED:
                kept[x.shape[1]] = _mask(x, masks[..., 0 if x.shape[1] == 32 else 1])
            if down:
                encoded.append(x)
            x = encoder_block(width, normalize=True, downsample=down, dtype=self.dtype, name=f'encode_{i}')(x)
            features[f'encode_{i}'] = x
        decoder = [(widths[-1], False)] * self.bottleneck_blocks + [(w, True) for w in widths[-2::-1]]
        style = style.astype(self.dtype)
        normalize = normalize_pixels if self.pixel_norm else normalize_instances
        shared = {'shortcut': not self.high_pass_weight, 'normalize': normalize, 'dtype': self.dtype}
        for i, (width, up) in enumerate(decoder):
            x = decoder_block(width, upsample=up, **shared, name=f'decode_{i}')(x, style)
            if up and self.skips:
                x = jnp.concatenate([x, encoded.pop()], axis=-1)
                x = decoder_block(width, **shared, name=f'refine_{i}')(x, style)
            if x.shape[1] in kept:
                x += layers.high_pass(kept[x.shape[1]]) / self.high_pass_weight
            features[f'decode_{i}'] = x
        x = leaky_relu(LearntNorm(normalize, name='to_rgb_norm')(x))
        initializer = layers.he_normal
        if self.residual:
            initializer = nn.initializers.variance_scaling(0.02, 'fan_in', 'normal')
        x = Convolution(3, 1, initializer=initializer, dtype=self.dtype, name='to_rgb')(x).astype(jnp.float32)
        x = images + x if self.residual else x
        return jnp.clip(x, -1, 1) if self.clip else x, features


def _mask(x: Float[Array, 'b h w c'], mask: Float[Array, 'b h2 w2']) -> Float[Array, 'b h w c']:
    """Returns the features times the mask, stretched to their size."""
    size = (*x.shape[:3], 1)
    return x * jax.image.resize(mask[..., None], size, 'linear', antialias=False).astype(x.dtype)


class MappingNetwork(nn.Module):
    """Turns a latent code into the style code of a domain."""

    domains: int
    style_size: int = 64
    width: int = 512
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, latent: Float[Array, 'b z'], domain: Int[Array, 'b']
    ) -> tuple[Float[Array, 'b s'], Features]:
        x = latent.astype(self.dtype)
        for i in range(4):
            x = nn.relu(layers.Dense(self.width, dtype=self.dtype, name=f'shared_{i}')(x))
        for i in range(3):
            x = nn.relu(DomainDense(self.domains, self.width, dtype=self.dtype, name=f'domain_{i}')(x))
        styles = DomainDense(self.domains, self.style_size, dtype=self.dtype, name='domain_3')(x)
        return select_domain(styles, domain).astype(jnp.float32), {}


class _Trunk(nn.Module):
    """What style encoder and discriminator have in common: residual blocks down to 4x4 pixels, then one 4x4 tap.

    With `blocks` set, only so many blocks and no tap: a map of features instead of one vector.
    """

    width: int
    max_width: int
    dtype: Any
    rematerialize: bool
    blocks: int = 0

    @nn.compact
    def __call__(self, images: Float[Array, 'b h w 3']) -> tuple[Float[Array, 'b *map c'], Features]:
        block = nn.remat(ResidualBlock) if self.rematerialize else ResidualBlock
        features = {}
        x = Convolution(self.width, 3, padding=1, dtype=self.dtype, name='from_rgb')(
            images.astype(self.dtype)
        )
        for i in range(self.blocks or int(math.log2(images.shape[1])) - 2):
            width = min(self.width * 2 ** (i + 1), self.max_width)
            x = block(width, downsample=True, dtype=self.dtype, name=f'block_{i}')(x)
            features[f'block_{i}'] = x
        if self.blocks:
            return leaky_relu(x), features
        x = Convolution(x.shape[-1], 4, dtype=self.dtype, name='tap')(leaky_relu(x))
        return leaky_relu(x).reshape(x.shape[0], -1), features


class StyleEncoder(nn.Module):
    """Reads the style code of a target image, by the head of its domain. Square images, a power of two wide."""

    domains: int
    width: int
    max_width: int = 512
    style_size: int = 64
    dtype: Any = jnp.float32
    rematerialize: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, 'b h w 3'], domain: Int[Array, 'b']
    ) -> tuple[Float[Array, 'b s'], Features]:
        x, features = _Trunk(self.width, self.max_width, self.dtype, self.rematerialize, name='trunk')(images)
        styles = DomainDense(self.domains, self.style_size, dtype=self.dtype, name='domain')(x)
        return select_domain(styles, domain).astype(jnp.float32), features


class Discriminator(nn.Module):
    """Judges whether an image is a real one of a domain: the logit of that domain.

    With `blocks` set, one logit for each place of the map that so many blocks leave: a patch discriminator.
    """

    domains: int
    width: int
    max_width: int = 512
    blocks: int = 0
    dtype: Any = jnp.float32
    rematerialize: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array, 'b h w 3'], domain: Int[Array, 'b']
    ) -> tuple[Float[Array, 'b *map'], Features]:
        trunk = _Trunk(self.width, self.max_width, self.dtype, self.rematerialize, self.blocks, name='trunk')
        x, features = trunk(images)
        # The original's last layer is a 1x1 convolution on a 1x1 map: a linear layer.
        logits = layers.Dense(self.domains, dtype=self.dtype, name='domain')(x)
        return select_domain(jnp.moveaxis(logits, -1, 1), domain).astype(jnp.float32), features
