"""The networks that images are measured by, with their weights, ready to call.

Every function here returns a callable that takes uint8 images [b, h, w, 3], and is compiled once for each shape of
them: hand it batches of one size. Networks compute in full float32 on every device: a measure should not change with
the accelerator.
"""

import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gan_transfer.importers import feature_weights
from gan_transfer.importers.feature_weights import FeatureWeights
from gan_transfer.metrics import lpips, resize
from gan_transfer.networks import imagenet, inception
from gan_transfer.networks.efficientnet import EfficientNetLite0
from gan_transfer.networks.imagenet import NETWORKS
from gan_transfer.state import to_float

RESIZES = ('legacy', 'clean', 'egsde_celeba_hq')
SMALLEST = 32  # px; AlexNet and VGG16 are shown smaller images magnified by a whole number

Maps = Float[Array, 'b _ _ _']


class FromFile(NamedTuple):
    """Features by a file's weights, uint8 images [b, h, w, 3] -> [b, 2048], and the file's SHA-256, for the results."""

    features: Callable[[Any], Float[Array, 'b 2048']]
    sha256: str


def feature_maps(name: str, layers: Sequence[str]) -> Callable[[Any], list[Maps]]:
    """Returns the features of 'alexnet' or 'vgg16' in some layers, a map [b, h, w, c] each.

    Raises:
      ValueError: for an unknown network or layer, and when the package with the weights is not installed.
    """
    return _compiled(_maps(name, layers), feature_weights.of_package(name).params)


def spatial_means(name: str, layers: Sequence[str]) -> Callable[[Any], Float[Array, 'b d']]:
    """Returns the means over all places of the features of `feature_maps`, layer behind layer.

    Raises:
      ValueError: as `feature_maps`.
    """
    maps = _maps(name, layers)

    def means(params: Any, images: Array) -> Float[Array, 'b d']:
        return jnp.concatenate([features.mean((1, 2)) for features in maps(params, images)], -1)

    return _compiled(means, feature_weights.of_package(name).params)


def lpips_distance(name: str) -> Callable[[Any, Any], Float[Array, 'b']]:
    """Returns LPIPS 0.1 by 'alexnet' or 'vgg16', for pairs of uint8 images [b, h, w, 3].

    Raises:
      ValueError: for an unknown network, and when the package with the weights is not installed.
    """
    module = _network(name)

    def distance(weights: FeatureWeights, a: Array, b: Array) -> Float[Array, 'b']:
        images = _magnified(_scaled(jnp.concatenate([a, b])))
        _, features = module.apply({'params': weights.params}, images)
        layers = [jnp.split(features[layer], 2) for layer in lpips.LAYERS[name]]
        return lpips.distance([x for x, _ in layers], [y for _, y in layers], weights.linear)

    return _compiled(distance, feature_weights.of_package(name))


def efficientnet_lite0() -> Callable[[Any], Float[Array, 'b 1000']]:
    """Returns the classifier of ImageNet, to the logits of its classes; it resizes images to 224 px itself.

    Raises:
      ValueError: when the package with the weights is not installed.
    """
    module = EfficientNetLite0()

    def classify(params: Any, images: Array) -> Float[Array, 'b 1000']:
        return module.apply({'params': params}, _scaled(images))[0]

    return _compiled(classify, feature_weights.of_efficientnet_lite0())


def fid_inception(path: str | pathlib.Path, *, resize_by: str = 'legacy') -> FromFile:
    """Returns the features of FID, from a file `pt_inception-2015-12-05-*.pth`.

    Args:
      path: of the file.
      resize_by: 'legacy', bilinear to 299 px in the network and without antialiasing, as pytorch-fid; or 'clean',
        bicubic and antialiased on the host, as clean-fid, whose network also has another zero: (value - 128) / 128; or
        'egsde_celeba_hq', bilinear and antialiased on the host, and normalized before the network scales what it takes
        for values in [0, 1], as EGSDE's code does for faces.

    Raises:
      ValueError: for another resizing, a missing file, or one of another network.
    """
    if resize_by not in RESIZES:
        raise ValueError(f'unknown resizing {resize_by!r}: {" or ".join(RESIZES)}')
    params, sha256 = feature_weights.read_inception('fid', path)
    if resize_by == 'legacy':
        return FromFile(_inception('fid', params, _scaled), sha256)
    if resize_by == 'clean':
        features = _inception('fid', params, lambda images: (images - 128) / 128)
        return FromFile(lambda images: features(resize.clean(np.asarray(images), inception.SIZE)), sha256)
    features = _inception('fid', params, lambda images: 2 * imagenet.normalize(_scaled(images)) - 1)
    return FromFile(lambda images: features(resize.eight_bit(np.asarray(images), inception.SIZE)), sha256)


def torchvision_inception(path: str | pathlib.Path) -> FromFile:
    """Returns the features of StarGAN v2's FID, from a file `inception_v3_google-*.pth`; resized by Pillow on the host.

    Raises:
      ValueError: for a missing file, or one of another network.
    """
    params, sha256 = feature_weights.read_inception('torchvision', path)
    features = _inception('torchvision', params, _scaled)
    return FromFile(lambda images: features(resize.eight_bit(np.asarray(images), inception.SIZE)), sha256)


def _network(name: str) -> nn.Module:
    if name not in NETWORKS:
        raise ValueError(f'unknown network {name!r}: {" or ".join(NETWORKS)}')
    return NETWORKS[name]()


def _maps(name: str, layers: Sequence[str]) -> Callable[[Any, Array], list[Maps]]:
    module = _network(name)
    image = jax.ShapeDtypeStruct((1, SMALLEST, SMALLEST, 3), jnp.float32)
    (_, known), _ = jax.eval_shape(module.init_with_output, jax.random.key(0), image)
    unknown = [layer for layer in layers if layer not in known]
    if unknown or not layers:
        raise ValueError(f'unknown layers {unknown} of {name}: some of {", ".join(known)}')

    def maps(params: Any, images: Array) -> list[Maps]:
        _, features = module.apply({'params': params}, _magnified(_scaled(images)))
        return [features[layer] for layer in layers]

    return maps


def _inception(variant: str, params: Any, scale: Callable[[Array], Array]) -> Callable[[Any], Array]:
    module = inception.Inception(variant)
    return _compiled(lambda params, images: module.apply({'params': params}, scale(images))[0], params)


def _compiled(function: Callable[..., Any], weights: Any) -> Callable[..., Any]:
    """Returns `function(weights, *images)` as a function of the images, over as many devices as divide the batch.

    Weights stay an argument: constants would be part of the program, and be compiled with it. Each process measures by
    its own devices, without the others.
    """
    devices = jax.local_devices()

    def exact(weights: Any, *images: Array) -> Any:
        with jax.default_matmul_precision('highest'):
            return function(weights, *images)

    @functools.cache
    def over(count: int) -> Callable[..., Any]:
        mesh = jax.sharding.Mesh(np.array(devices[:count]), ('images',))
        whole, rows = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec('images')
        placed = jax.device_put(weights, jax.sharding.NamedSharding(mesh, whole))
        split = jax.sharding.NamedSharding(mesh, rows)

        @jax.jit
        def sharded(weights: Any, *images: Array) -> Any:
            specs = (whole, *(rows for _ in images))
            return jax.shard_map(exact, mesh=mesh, in_specs=specs, out_specs=rows)(weights, *images)

        return lambda *images: sharded(placed, *(jax.device_put(x, split) for x in images))

    def call(*images: Any) -> Any:
        return over(math.gcd(len(images[0]), len(devices)))(*images)

    return call


def _scaled(images: Array) -> Float[Array, 'b h w 3']:
    """Returns uint8 images in [-1, 1]."""
    if images.dtype != jnp.uint8:
        raise ValueError(f'images to measure are uint8, got {images.dtype}')
    return to_float(images)


def _magnified(images: Float[Array, 'b h w 3']) -> Float[Array, 'b h2 w2 3']:
    times = -(-SMALLEST // min(images.shape[1:3]))
    return images.repeat(times, 1).repeat(times, 2)
