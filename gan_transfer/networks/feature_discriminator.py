"""A discriminator of features: judges what a network trained on ImageNet sees in images (Sauer et al. 2021)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks import layers
from gan_transfer.networks.layers import Convolution, leaky_relu


class FeatureDiscriminator(nn.Module):
    """A small convolutional discriminator on each of several feature maps; their logits side by side.

    Differs from the reference: no random mixing of channels and scales, since only few layers are taken; no
    normalization. Each map is divided by its root mean square over places and channels, because
    networks without batch norm have layers of very different sizes.
    """

    width: int = 32
    initializer: layers.Initializer = nn.initializers.he_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, *features: Float[Array, 'b _ _ _']
    ) -> tuple[Float[Array, 'b n'], dict[str, Float[Array, 'b _ _ 1']]]:
        """Returns the logits of all places of all layers, and each layer's map of them."""
        maps = {}
        for i, feature in enumerate(features):
            scale = jnp.sqrt(jnp.square(feature).mean((1, 2, 3), keepdims=True) + 1e-8)
            shared = {'initializer': self.initializer, 'dtype': self.dtype}
            x = Convolution(self.width, 1, **shared, name=f'mix_{i}')((feature / scale).astype(self.dtype))
            x = Convolution(self.width, 3, padding=1, **shared, name=f'layer_{i}')(leaky_relu(x))
            maps[f'logits_{i}'] = Convolution(1, 1, **shared, name=f'output_{i}')(leaky_relu(x))
        flat = [x.astype(jnp.float32).reshape(x.shape[0], -1) for x in maps.values()]
        return jnp.concatenate(flat, -1), maps
