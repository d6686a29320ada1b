"""Reads PyTorch files without PyTorch, and without running what they say: numpy arrays from zip and legacy pickles.

A pickle is a program. This one may build dictionaries and describe tensors, and nothing else: every other class or
function is refused by name. No size that a file claims is believed before it is compared with the file's own.
"""

import collections
import io
import math
import pathlib
import pickle
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_transfer import storage

# Names of the first objects of the legacy layout.
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
DTYPES = {
    'DoubleStorage': np.dtype(np.float64),
    'FloatStorage': np.dtype(np.float32),
    'HalfStorage': np.dtype(np.float16),
    'BFloat16Storage': np.dtype(jnp.bfloat16),
    'LongStorage': np.dtype(np.int64),
    'IntStorage': np.dtype(np.int32),
    'ShortStorage': np.dtype(np.int16),
    'CharStorage': np.dtype(np.int8),
    'ByteStorage': np.dtype(np.uint8),
    'BoolStorage': np.dtype(np.bool_),
}


class StorageType(NamedTuple):
    """What a storage class of the file is to us."""

    dtype: np.dtype


class Storage(NamedTuple):
    """The numbers behind one or more tensors: where they are, and how many the pickle says there are."""

    key: str
    dtype: np.dtype
    count: int


class Tensor(NamedTuple):
    """A tensor as the pickle describes it, with strides in elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_torch_file(path: pathlib.Path) -> Any:
    """Returns what `torch.save` wrote: dictionaries as they are, tensors as numpy arrays, in native byte order.

    Raises:
      ValueError: for a file that is no such file, is damaged, claims what it does not hold, or wants more than tensors.
    """
    try:
        content = storage.read(path)
        read = _read_zip if zipfile.is_zipfile(io.BytesIO(content)) else _read_legacy
        tree, data = read(content)
        return _resolve(tree, data)
    except storage.Unreachable:
        raise
    except Refused as error:
        raise ValueError(f'{path}: {error}') from error
    except Exception as error:  # the bytes of a damaged pickle can make its reader fail in any way
        raise ValueError(f'{path} is damaged or no PyTorch file ({type(error).__name__}: {error})') from error


class Refused(Exception):
    """Something that a file of weights has no need for, or a claim that is not true."""


class _Unpickler(pickle._Unpickler):
    """An unpickler that knows tensors and dictionaries.

    The one written in Python: its memo is a dictionary, where the faster one allocates what an opcode asks for. What
    `find_class` gives out is made for one file, so that nothing a pickle does to it lasts.
    """

    def __init__(self, file: io.BytesIO):
        super().__init__(file, encoding='utf-8')
        self._known = {
            ('collections', 'OrderedDict'): collections.OrderedDict,
            ('torch._utils', '_rebuild_tensor'): lambda *arguments: _rebuild_tensor(*arguments),  # before 0.4
            ('torch._utils', '_rebuild_tensor_v2'): lambda *arguments: _rebuild_tensor(*arguments),
            ('torch._utils', '_rebuild_parameter'): lambda tensor, *_: tensor,
            **{('torch', name): StorageType(dtype) for name, dtype in DTYPES.items()},
        }

    def find_class(self, module: str, name: str) -> Any:
        known = self._known.get((module, name))
        if known is None:
            raise Refused(f'it wants {module}.{name}, which weights have no need for')
        return known

    def persistent_load(self, identity: Any) -> Storage:
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != 'storage':
            raise Refused('it refers to something that is no storage')
        _, kind, key, _, count, *view = identity
        if not isinstance(kind, StorageType) or not isinstance(count, int) or count < 0:
            raise Refused(f'storage {key!r} has no known type or size')
        if view and view[0] is not None:
            raise Refused(f'storage {key!r} is a view of another, as only very old files have')
        return Storage(str(key), kind.dtype, count)


def _rebuild_tensor(storage: Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> Tensor:
    size, stride = tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise Refused(f'a tensor of size {size} and strides {stride} is none')
    if len(size) != len(stride):
        raise Refused(f'a tensor of size {size} and strides {stride} is none')
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    # Tensors of weights repeat nothing, so a tensor is never larger than what is behind it.
    if math.prod(size) > storage.count or (math.prod(size) and last >= storage.count):
        raise Refused(f'a tensor of size {size} does not fit its storage of {storage.count} numbers')
    return Tensor(storage, offset, size, stride)


Data = Callable[[Storage], np.ndarray]  # the numbers of a storage


def _read_zip(content: bytes) -> tuple[Any, Data]:
    """The layout since PyTorch 1.6: `<name>/data.pkl` and each storage as `<name>/data/<key>`, stored as they are."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        for name, entry in entries.items():
            if '..' in name.split('/') or name.startswith('/') or '\\' in name:
                raise Refused(f'it has an entry called {name!r}')
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(content):
                raise Refused(f'its entry {name} is compressed, or larger than the file')
        pickles = [name for name in entries if name.endswith('/data.pkl') and name.count('/') == 1]
        if len(pickles) != 1:
            raise Refused(f'a zip file with {len(pickles)} entries <name>/data.pkl, where PyTorch writes one')
        folder = pickles[0].removesuffix('data.pkl')
        order = archive.read(f'{folder}byteorder') if f'{folder}byteorder' in entries else b'little'
        if order not in (b'little', b'big'):
            raise Refused(f'unknown byte order {order[:20]!r}')
        tree = _Unpickler(io.BytesIO(archive.read(pickles[0]))).load()
        blocks = {
            name.removeprefix(f'{folder}data/'): archive.read(name)
            for name in entries
            if name.startswith(f'{folder}data/')
        }
    return tree, lambda storage: _numbers(storage, blocks.get(storage.key), order.decode())


def _read_legacy(content: bytes) -> tuple[Any, Data]:
    """The layout before: pickles one after the other, then every storage behind its number of elements."""
    file = io.BytesIO(content)
    try:
        magic = _Unpickler(file).load()
    except Exception as error:
        raise Refused('it is no PyTorch file') from error
    if magic != LEGACY_MAGIC or _Unpickler(file).load() != LEGACY_PROTOCOL:
        raise Refused('it is no PyTorch file')
    system = _Unpickler(file).load()
    order = 'little' if system.get('little_endian', True) else 'big'
    tree = _Unpickler(file).load()
    keys = _Unpickler(file).load()
    storages = {tensor.storage.key: tensor.storage for tensor in _tensors(tree)}
    blocks = {}
    for key in map(str, keys):
        if key not in storages:
            raise Refused(f'storage {key!r} belongs to no tensor, and so has no known type')
        (count,) = np.frombuffer(file.read(8), '<i8' if order == 'little' else '>i8', 1)
        if count != storages[key].count:
            raise Refused(f'storage {key!r} has {count} numbers, its tensors say {storages[key].count}')
        blocks[key] = file.read(int(count) * storages[key].dtype.itemsize)
    return tree, lambda storage: _numbers(storage, blocks.get(storage.key), order)


def _numbers(storage: Storage, block: bytes | None, order: str) -> np.ndarray:
    if block is None:
        raise Refused(f'storage {storage.key!r} is missing')
    claimed = storage.count * storage.dtype.itemsize
    if claimed != len(block):
        raise Refused(f'storage {storage.key!r} says it has {claimed} bytes, and has {len(block)}')
    if storage.dtype.name == 'bfloat16':  # numpy knows no byte order of it
        bits = np.frombuffer(block, np.dtype(np.uint16).newbyteorder(order)).astype(np.uint16)
        return bits.view(storage.dtype)
    return np.frombuffer(block, storage.dtype.newbyteorder(order)).astype(storage.dtype)


def _tensors(tree: Any) -> Iterator[Tensor]:
    """Yields the tensors of nested dictionaries, walking each dictionary once, however often it is referred to."""
    waiting, seen = [tree], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Tensor):
            yield node
        elif isinstance(node, dict) and id(node) not in seen:
            seen.add(id(node))
            waiting.extend(node.values())


def _resolve(tree: Any, data: Data) -> Any:
    """Returns the tree with arrays, which share the memory of their storages, for tensors, and nothing for the rest."""
    storages, arrays = {}, {}
    for one in (tensor.storage for tensor in _tensors(tree)):
        if storages.setdefault(one.key, one) != one:
            raise Refused(f'storage {one.key!r} is said to be {storages[one.key]} and {one}')
        if one.key not in arrays:
            arrays[one.key] = data(one)
    made: dict[int, dict] = {}

    def resolve(node: Any) -> Any:
        if isinstance(node, Tensor):
            numbers = arrays[node.storage.key][node.offset :]
            strides = [step * numbers.itemsize for step in node.stride]
            return np.lib.stride_tricks.as_strided(numbers, node.size, strides, writeable=False)
        if not isinstance(node, dict):
            return None
        if id(node) not in made:
            made[id(node)] = {}
            made[id(node)].update({key: resolve(value) for key, value in node.items()})
        return made[id(node)]

    return resolve(tree)
