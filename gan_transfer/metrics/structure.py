"""How well an output keeps the layout of its source, and whether it has taken over that of the target image.

Layout is what is where: which places of an image look alike, whatever they look like. Features are maps of one layer of
a network trained on ImageNet, for images of one size.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Maps = Float[Array, 'b h w c']
Values = Float[Array, 'b']

LARGE = 128  # px; from there on a deeper layer is compared
EPSILON = 1e-12


def layer(image_size: int) -> str:
    """Returns the layer of VGG16 that is compared: relu_3_3; for images above 128 px relu_4_3.

    Its self-similarities are a sixteenth in size; those of relu_3_3 would be 64 MiB for an image of 256 px. On emoji of
    64 px, two vendors' drawings of one thing were nearer to each other than to drawings of other things in 82 % of
    cases by either, by relu_5_3 in 62 %.
    """
    return 'relu_3_3' if image_size <= LARGE else 'relu_4_3'


def self_similarity(features: Maps) -> Float[Array, 'b h*w h*w']:
    """Returns the cosine of the features of every two places of an image (Tumanyan et al. 2022).

    Differs from the reference: features of a VGG16 in place of the keys of DINO's vision transformer. They are not
    negative, so cosines are 0..1. A place without any feature is unlike all others and itself.
    """
    b, h, w, c = features.shape
    places = features.reshape(b, h * w, c)
    # Not divided by a norm: that has no gradient where all features are 0, as they may be behind a ReLU.
    places *= jax.lax.rsqrt(jnp.square(places).sum(-1, keepdims=True) + EPSILON)
    return jnp.einsum('bic,bjc->bij', places, places, precision='highest')


def distance(source: Maps, output: Maps) -> Values:
    """Returns the mean squared difference of two images' self-similarities, 0..1: 0 where the layout is kept.

    Differs from the reference: a mean, not a sum or its root, so that values of different sizes compare. Image after
    image, because self-similarities are large: 4 MiB for an image of 256 px.
    """

    def of_image(pair: tuple[Array, Array]) -> Array:
        a, b = (self_similarity(features[None]) for features in pair)
        return jnp.square(a - b).mean()

    return jax.lax.map(of_image, (source, output))


def leakage(source: Maps, output: Maps, target: Maps) -> Values:
    """Returns how far the output's layout has gone from the source's to the target image's, 0..1.

    d(output, source) / (d(output, source) + d(output, target)), with the distance above: 0 where the source's layout is
    kept, 1 where the target image's is copied, 0.5 where the output is as far from the one as from the other. A ratio,
    since a change of style alone moves the distance to the source, and so does a target image of another style
    for every output: alone, neither tells a strong style from a copied layout. Of use where source and target image
    differ in layout; 0.5 as well where all three agree.
    """
    to_source, to_target = distance(source, output), distance(target, output)
    total = to_source + to_target
    known = total > 0
    return jnp.where(known, to_source / jnp.where(known, total, 1), 0.5)
