"""CUT's patch projection: a small network for each feature map, from features to unit vectors (Park et al. 2020)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks import layers


class PatchProjection(nn.Module):
    """Two linear layers for each feature map with a ReLU between, then division by the Euclidean length.

    The original makes these layers at the first batch, when it sees the widths; here they follow from the abstract
    shapes of the inputs, as every network's do.
    """

    width: int = 256
    initializer: layers.Initializer = layers.xavier_normal(0.02)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, *patches: Float[Array, 'b _n _c']
    ) -> tuple[tuple[Float[Array, 'b _n d'], ...], dict[str, Array]]:
        """Takes the features at some places of each map, and returns as many unit vectors in float32."""
        projected = []
        for i, x in enumerate(patches):
            for j in range(2):
                dense = layers.Dense(self.width, self.initializer, self.dtype, name=f'layer_{i}_{j}')
                x = dense(x) if j == 0 else dense(nn.relu(x))
            x = x.astype(jnp.float32)
            # Where every unit rests the length is 0, and the root has no gradient there.
            squared = jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-20)
            projected.append(x / (jnp.sqrt(squared) + 1e-7))
        return tuple(projected), {}
