"""The networks that images are measured by, with their weights, ready to call."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.importers import feature_weights
from gan_transfer.importers.feature_weights import FeatureWeights
from gan_transfer.metrics import lpips
from gan_transfer.networks.imagenet import AlexNet, Vgg16

NETWORKS = {'alexnet': AlexNet, 'vgg16': Vgg16}
SMALLEST = 32  # px; smaller images are magnified by a whole number


def lpips_distance(name: str) -> Callable[[Any, Any], Float[Array, 'b']]:
    """Returns LPIPS 0.1 by 'alexnet' or 'vgg16', for pairs of uint8 images [b, h, w, 3].

    Raises:
      ValueError: when the package with the weights is not installed.
    """
    module = NETWORKS[name]()

    @jax.jit
    def distance(weights: FeatureWeights, a: Array, b: Array) -> Float[Array, 'b']:
        images = jnp.concatenate([a, b]).astype(jnp.float32) / 127.5 - 1
        times = -(-SMALLEST // min(images.shape[1:3]))
        images = images.repeat(times, 1).repeat(times, 2)
        _, features = module.apply({'params': weights.params}, images)
        layers = [jnp.split(features[layer], 2) for layer in lpips.LAYERS[name]]
        return lpips.distance([x for x, _ in layers], [y for _, y in layers], weights.linear)

    return functools.partial(distance, feature_weights.of_package(name))
