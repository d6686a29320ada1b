"""The PatchGAN discriminator (Isola et al. 2017, section 3.2.2): one logit for each overlapping patch."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks import layers
from gan_transfer.networks.layers import Convolution, leaky_relu, normalize_instances


class PatchDiscriminator(nn.Module):
    """4x4 convolutions, the first `depth` of stride 2; depth 3 sees patches of 70 pixels."""

    width: int = 64
    depth: int = 3
    initializer: layers.Initializer = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, 'b h w 3']) -> tuple[Float[Array, 'b h2 w2 1'], dict[str, Array]]:
        features = {}
        x = images.astype(self.dtype)
        for i in range(self.depth + 1):
            stride = 2 if i < self.depth else 1
            width = self.width * min(2**i, 8)
            x = Convolution(
                width,
                4,
                stride=stride,
                padding=1,
                initializer=self.initializer,
                dtype=self.dtype,
                name=f'layer_{i}',
            )(x)
            if i > 0:
                x = normalize_instances(x)
            x = leaky_relu(x)
            features[f'layer_{i}'] = x
        logits = Convolution(1, 4, padding=1, initializer=self.initializer, dtype=self.dtype, name='output')(
            x
        )
        return logits.astype(jnp.float32), features
