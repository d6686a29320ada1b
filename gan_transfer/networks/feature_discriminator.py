"""A discriminator of features: judges what a network trained on ImageNet sees in images (Sauer et al. 2021)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_transfer.networks import layers
from gan_transfer.networks.layers import Convolution, leaky_relu


class FeatureDiscriminator(nn.Module):
    """A small convolutional discriminator on each of several feature maps, with logits of its own.

    Differs from the reference: no random mixing of channels and scales, since only few layers are taken; no
    normalization. With several domains there is a logit for each of them, as StarGAN v2 has it. Each map is divided by
    its root mean square over places and channels, because networks without batch norm have layers of very different
    sizes.
    """

    width: int = 32
    domains: int = 1
    initializer: layers.Initializer = nn.initializers.he_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, *features: Float[Array, 'b _ _ _'] | Int[Array, 'b']
    ) -> tuple[tuple[Float[Array, 'b _ _ 1'], ...], dict[str, Array]]:
        """Returns the logits of all places, layer by layer, in float32, and no features.

        With several domains the first argument is the domain of each image, int32 [b].
        """
        domain = None
        if self.domains > 1:
            domain, *features = features
        logits = []
        for i, feature in enumerate(features):
            scale = jnp.sqrt(jnp.square(feature).mean((1, 2, 3), keepdims=True) + 1e-8)
            shared = {'initializer': self.initializer, 'dtype': self.dtype}
            x = Convolution(self.width, 1, **shared, name=f'mix_{i}')((feature / scale).astype(self.dtype))
            x = Convolution(self.width, 3, padding=1, **shared, name=f'layer_{i}')(leaky_relu(x))
            x = Convolution(self.domains, 1, **shared, name=f'output_{i}')(leaky_relu(x))
            if domain is not None:
                x = layers.select_domain(jnp.moveaxis(x, -1, 1), domain)[..., None]
            logits.append(x.astype(jnp.float32))
        return tuple(logits), {}
