"""Reads PyTorch files without PyTorch, and without running what they say: numpy arrays from zip and legacy pickles.

No size that a file claims is believed before it is compared with the file's own.
"""

import io
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from gan_transfer import storage
from gan_transfer.importers.layout import shown
from gan_transfer.importers.torch_pickle import Refused, Storage, Tensor, Unpickler

# The first objects of the legacy layout.
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


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
        raise ValueError(
            f'{path} is damaged or no PyTorch file ({type(error).__name__}: {shown(error)})'
        ) from error


Data = Callable[[Storage], np.ndarray]  # the numbers of a storage


def _read_zip(content: bytes) -> tuple[Any, Data]:
    """The layout since PyTorch 1.6: `<name>/data.pkl` and each storage as `<name>/data/<key>`, stored as they are."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        for name, entry in entries.items():
            if '..' in name.split('/') or name.startswith('/') or '\\' in name:
                raise Refused(f"it has an entry called '{shown(name)}'")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(content):
                raise Refused(f"its entry '{shown(name)}' is compressed, or larger than the file")
        if sum(entry.file_size for entry in entries.values()) > len(content):
            raise Refused('its entries overlap: together they are larger than the file')
        pickles = [name for name in entries if name.endswith('/data.pkl') and name.count('/') == 1]
        if len(pickles) != 1:
            raise Refused(f'a zip file with {len(pickles)} entries <name>/data.pkl, where PyTorch writes one')
        folder = pickles[0].removesuffix('data.pkl')
        order = archive.read(f'{folder}byteorder') if f'{folder}byteorder' in entries else b'little'
        if order not in (b'little', b'big'):
            raise Refused(f'unknown byte order {order[:20]!r}')
        tree = Unpickler(io.BytesIO(archive.read(pickles[0]))).load()
        blocks = {
            name.removeprefix(f'{folder}data/'): archive.read(name)
            for name in entries
            if name.startswith(f'{folder}data/')
        }
    return tree, lambda storage: _numbers(storage, blocks.get(storage.key), order.decode())


def _read_legacy(content: bytes) -> tuple[Any, Data]:
    """The layout before: pickles one after the other, then every storage behind its number of elements.

    The third of the pickles tells of the machine that wrote the file; the numbers are little-endian on all of them.
    """
    file = io.BytesIO(content)
    try:
        magic = Unpickler(file).load()
    except Exception as error:
        raise Refused('it is no PyTorch file') from error
    if magic != LEGACY_MAGIC or Unpickler(file).load() != LEGACY_PROTOCOL:
        raise Refused('it is no PyTorch file')
    Unpickler(file).load()
    described = Unpickler(file)
    tree = described.load()
    keys = Unpickler(file).load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refused('it has no list of its storages')
    blocks = {}
    for key in keys:
        if key not in described.storages:
            raise Refused(f"storage '{shown(key)}' belongs to no tensor, and so has no known type")
        storage = described.storages[key]
        (count,) = map(int, np.frombuffer(file.read(8), '<i8', 1))
        if count != storage.count:
            raise Refused(f"storage '{shown(key)}' has {count} numbers, its tensors say {storage.count}")
        blocks[key] = file.read(count * storage.dtype.itemsize)
    return tree, lambda storage: _numbers(storage, blocks.get(storage.key), 'little')


def _numbers(storage: Storage, block: bytes | None, order: str) -> np.ndarray:
    if block is None:
        raise Refused(f"storage '{shown(storage.key)}' is missing")
    claimed = storage.count * storage.dtype.itemsize
    if claimed != len(block):
        raise Refused(f"storage '{shown(storage.key)}' says it has {claimed} bytes, and has {len(block)}")
    if storage.dtype.name == 'bfloat16':  # numpy knows no byte order of it
        bits = np.frombuffer(block, np.dtype(np.uint16).newbyteorder(order)).astype(np.uint16)
        return bits.view(storage.dtype)
    return np.frombuffer(block, storage.dtype.newbyteorder(order)).astype(storage.dtype)


def _resolve(tree: Any, data: Data) -> Any:
    """Returns the tree with arrays, which share the memory of their storages, for tensors, and nothing for the rest."""
    arrays: dict[str, np.ndarray] = {}
    made: dict[int, dict] = {}

    def resolve(node: Any) -> Any:
        if isinstance(node, Tensor):
            key = node.storage.key
            if key not in arrays:
                arrays[key] = data(node.storage)
            numbers = arrays[key][node.offset :]
            strides = [step * numbers.itemsize for step in node.stride]
            return np.lib.stride_tricks.as_strided(numbers, node.size, strides, writeable=False)
        if not isinstance(node, dict):
            return None
        if id(node) not in made:
            made[id(node)] = {}
            made[id(node)].update({key: resolve(value) for key, value in node.items()})
        return made[id(node)]

    return resolve(tree)
