"""How far the style of an output is from that of a target image, by the correlations of a network's channels."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

# The layers that are compared, of the networks in `networks/imagenet.py`: the first of each size, as in the paper.
LAYERS = {'vgg16': ('relu_1_1', 'relu_2_1', 'relu_3_1', 'relu_4_1', 'relu_5_1')}


def gram(features: Float[Array, 'b h w c']) -> Float[Array, 'b c c']:
    """Returns the products of every two channels, summed over places and divided by h w c.

    Gatys et al. 2016, equation 3. Differs from the paper, which divides later (equation 4): so images of different
    sizes compare.
    """
    _, h, w, c = features.shape
    return jnp.einsum('bhwi,bhwj->bij', features, features, precision='highest') / (h * w * c)


def distance(a: Sequence[Float[Array, 'b _ _ _']], b: Sequence[Float[Array, 'b _ _ _']]) -> Float[Array, 'b']:
    """Returns the mean squared difference of two images' Gram matrices, averaged over layers; 0 for one style.

    Where things are does not count. Equations 4 and 5 of the paper with equal weights of the layers; a layer of equal
    sizes counts 4 / c^2 of equation 4, from the mean over the c^2 pairs of channels and the missing 1 / 4.

    Args:
      a: features [b, h, w, c] of some images, layer by layer.
      b: those of the others, which may have another size.

    Raises:
      ValueError: for no layers, or another number of them.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f'styles are compared in the same layers, got {len(a)} and {len(b)}')
    per_layer = [jnp.square(gram(x) - gram(y)).mean((1, 2)) for x, y in zip(a, b, strict=True)]
    return sum(per_layer) / len(per_layer)
