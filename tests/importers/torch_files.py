"""Writes files as `torch.save` does, from numpy arrays and without PyTorch."""

import collections
import io
import json
import pickle
import struct
import zipfile
from typing import ClassVar

import numpy as np

from gan_transfer.importers.torch_file import LEGACY_MAGIC, LEGACY_PROTOCOL
from gan_transfer.importers.torch_pickle import DTYPES

STORAGES = {dtype: name for name, dtype in DTYPES.items()}


class Global:
    """A class or function of some module, by name only."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        """The pickler wants what it calls to be callable."""


class Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class Tensor:
    def __init__(self, storage, offset, size, stride):
        self.parts = (storage, offset, size, stride)

    def __reduce_ex__(self, protocol):
        arguments = (*self.parts, False, collections.OrderedDict())
        return Global('torch._utils', '_rebuild_tensor_v2'), arguments


class OldTensor(Tensor):
    """As PyTorch described it before 0.4."""

    def __reduce_ex__(self, protocol):
        return Global('torch._utils', '_rebuild_tensor'), self.parts


class Pickler(pickle._Pickler):
    """Refers to storages by their key, and to what is PyTorch's by name."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)
    view = ()  # what the legacy layout adds to a reference

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            kind = Global('torch', STORAGES[obj.array.dtype])
            return ('storage', kind, obj.key, 'cpu', obj.array.size, *self.view)
        return None

    def save_named(self, obj):
        self.write(pickle.GLOBAL + f'{obj.module}\n{obj.name}\n'.encode())

    dispatch[Global] = save_named


class LegacyPickler(Pickler):
    view = (None,)


def dump(tree, pickler=Pickler):
    file = io.BytesIO()
    pickler(file, protocol=2).dump(tree)
    return file.getvalue()


def with_tensors(tree, kind=Tensor):
    """Returns the tree with tensors for its arrays, and the storages: every array has one of its own."""
    storages = []

    def convert(node):
        if isinstance(node, dict):
            return collections.OrderedDict((key, convert(value)) for key, value in node.items())
        if not isinstance(node, np.ndarray | np.generic):
            return node
        node = np.asarray(node)
        storages.append(Storage(str(len(storages)), np.ascontiguousarray(node).reshape(-1)))
        stride = tuple(s // node.itemsize for s in node.copy(order='C').strides)
        return kind(storages[-1], 0, node.shape, stride)

    return convert(tree), storages


def write_zip(
    path, tree, *, storages=None, kind=Tensor, order='little', compression=zipfile.ZIP_STORED, more=()
):
    """Writes the layout since PyTorch 1.6; `tree` has arrays, or tensors of the given `storages`."""
    if storages is None:
        tree, storages = with_tensors(tree, kind)
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('archive/data.pkl', dump(tree))
        archive.writestr('archive/version', '3\n')
        archive.writestr('archive/byteorder', order)
        for storage in storages:
            archive.writestr(f'archive/data/{storage.key}', numbers(storage, order))
        for name, content in more:
            archive.writestr(name, content)
    return path


def numbers(storage, order):
    """Returns the bytes of a storage, on this little-endian machine, in an order."""
    whole = storage.array.tobytes()
    size = storage.array.itemsize
    if order == 'little':
        return whole
    return b''.join(whole[i : i + size][::-1] for i in range(0, len(whole), size))


def write_legacy(path, tree, *, storages=None, kind=Tensor, little_endian=True):
    """Writes the layout before PyTorch 1.6, on a machine of some byte order."""
    if storages is None:
        tree, storages = with_tensors(tree, kind)
    parts = [dump(x) for x in (LEGACY_MAGIC, LEGACY_PROTOCOL, {'little_endian': little_endian})]
    parts += [dump(tree, LegacyPickler), dump([storage.key for storage in storages])]
    for storage in storages:
        parts += [struct.pack('<q', storage.array.size), numbers(storage, 'little')]
    path.write_bytes(b''.join(parts))
    return path


def write_safetensors(path, arrays):
    names = {np.dtype(np.float32): 'F32', np.dtype(np.int64): 'I64', DTYPES['BFloat16Storage']: 'BF16'}
    table, data = {'__metadata__': {'format': 'pt'}}, b''
    for name, array in arrays.items():
        start, data = len(data), data + array.tobytes()
        table[name] = {
            'dtype': names[array.dtype],
            'shape': list(array.shape),
            'data_offsets': [start, len(data)],
        }
    header = json.dumps(table).encode()
    path.write_bytes(len(header).to_bytes(8, 'little') + header + data)
    return path
