"""The PatchGAN discriminator (Isola et al. 2017, section 3.2.2): one logit for each overlapping patch."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks import layers
from gan_transfer.networks.layers import Convolution, leaky_relu
from gan_transfer.networks.normalization import BatchNorm, normalize_instances
from gan_transfer.networks.resampling import blur_downsample


def smallest(depth: int) -> int:
    """Returns how many px an image must have for a `PatchDiscriminator` to have a logit.

    Each of the two 4x4 convolutions behind the halvings takes one place of the map.
    """
    return 2**depth * 3 if depth else 1


class PatchDiscriminator(nn.Module):
    """4x4 convolutions, the first `depth` of stride 2; depth 3 sees patches of 70 pixels.

    Of depth 0 it is the paper's discriminator of single pixels: three 1x1 convolutions.

    Attributes:
      antialias: resample by blurring in place of strides (CUT).
      batch_norm: batch normalization in place of instance normalization (pix2pix); `axes` are then the mesh axes of the
        batch, as `BatchNorm` takes it.
    """

    width: int = 64
    depth: int = 3
    antialias: bool = False
    batch_norm: bool = False
    initializer: layers.Initializer = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, 'b h w c'], axes: tuple[str, ...] | None = None
    ) -> tuple[Float[Array, 'b h2 w2 1'], dict[str, Array]]:
        size, padding, count = (4, 1, self.depth + 1) if self.depth else (1, 0, 2)
        shared = {'padding': padding, 'initializer': self.initializer, 'dtype': self.dtype}
        features = {}
        x = images.astype(self.dtype)
        for i in range(count):
            halves = i < self.depth
            x = Convolution(
                self.width * min(2**i, 8),
                size,
                stride=2 if halves and not self.antialias else 1,
                use_bias=i == 0 or not self.batch_norm,
                **shared,
                name=f'layer_{i}',
            )(x)
            if i > 0:
                x = BatchNorm(name=f'norm_{i}')(x, axes) if self.batch_norm else normalize_instances(x)
            x = leaky_relu(x)
            features[f'layer_{i}'] = x
            if halves and self.antialias:
                x = blur_downsample(x)
        # Of single pixels the original's last convolution too has no bias where the norm is a batch's.
        biased = self.depth > 0 or not self.batch_norm
        logits = Convolution(1, size, use_bias=biased, **shared, name='output')(x)
        return logits.astype(jnp.float32), features
