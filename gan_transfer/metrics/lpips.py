"""LPIPS: how different two images look to a network that was trained on ImageNet (Zhang et al. 2018, equation 1)."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# The features that are compared, of the networks in `networks/imagenet.py`.
LAYERS = {
    'alexnet': ('relu_1', 'relu_2', 'relu_3', 'relu_4', 'relu_5'),
    'vgg16': ('relu_1_2', 'relu_2_2', 'relu_3_3', 'relu_4_3', 'relu_5_3'),
}


def distance(
    a: Sequence[Float[Array, 'b _ _ _']],
    b: Sequence[Float[Array, 'b _ _ _']],
    weights: Sequence[Float[Array | np.ndarray, '_']],
) -> Float[Array, 'b']:
    """Returns the distance of each pair of images: 0 for equal ones, about 0.7 for unlike ones.

    Args:
      a: features [b, h, w, c] of some images, layer by layer.
      b: those of the others.
      weights: the published weights of the channels, version 0.1, layer by layer.
    """
    per_layer = (
        (jnp.square(_unit(x) - _unit(y)) @ weight).mean((1, 2))
        for x, y, weight in zip(a, b, weights, strict=True)
    )
    return sum(per_layer)


def _unit(x: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
    """Returns the features of each place as a vector of length one."""
    return x / (jnp.sqrt(jnp.square(x).sum(-1, keepdims=True)) + 1e-10)
