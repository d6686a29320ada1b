"""The pickles inside PyTorch files, read without running what they say: dictionaries, and descriptions of tensors.

A pickle is a program. This one may build dictionaries and describe tensors, and nothing else: every other class or
function is refused by name, every other opcode by number. Nothing that a small file can make large is looked at: there
is no hash, text or comparison of what is not known to be small.
"""

import io
import math
import pickle
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_transfer.importers.layout import shown

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
# Those of data, by their names in `pickle`; what is done at SETITEM, SETITEMS and BUILD is our own.
OPCODES = (
    'PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE BINFLOAT INT BININT BININT1 BININT2 LONG1 LONG4 '
    'BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 '
    'EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT GLOBAL STACK_GLOBAL REDUCE '
    'BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE'
)
DIMENSIONS, LARGEST = 64, 2**63  # of an array, as numpy has them


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


class Refused(Exception):
    """Something that a file of weights has no need for, or a claim that is not true."""


class _Opcodes(dict):
    """What is done at an opcode; those that are missing are refused."""

    def __missing__(self, opcode: int) -> None:
        raise Refused(f'it has the opcode {opcode}, which weights have no need for')


class Unpickler(pickle._Unpickler):
    """An unpickler that knows tensors and dictionaries, and keeps the storages that it meets.

    The one written in Python: its memo is a dictionary, where the faster one allocates what an opcode asks for. Of its
    opcodes are left those of PyTorch's protocol 2 and of the later ones that it can be told to write.
    """

    dispatch = _Opcodes(
        {code: pickle._Unpickler.dispatch[code] for (code,) in (getattr(pickle, n) for n in OPCODES.split())}
    )

    def __init__(self, file: io.BytesIO):
        super().__init__(file, encoding='utf-8')
        self.storages: dict[str, Storage] = {}

    def load_setitem(self) -> None:
        key, value = self.stack[-2:]
        del self.stack[-2:]
        _fill(self.stack[-1], [(key, value)])

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _fill(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_build(self) -> None:
        self.stack.pop()  # attributes, such as a state_dict's versions of its layers

    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is None:
            raise Refused(f'it wants {shown(f"{module}.{name}")}, which weights have no need for')
        return known

    def persistent_load(self, identity: Any) -> Storage:
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != 'storage':
            raise Refused('it refers to something that is no storage')
        _, kind, key, _, count, *view = identity
        if not isinstance(key, str):
            raise Refused('it has a storage without a name')
        if not isinstance(kind, StorageType) or type(count) is not int or not 0 <= count < LARGEST:
            raise Refused(f"storage '{shown(key)}' has no known type or size")
        if view and view[0] is not None:
            raise Refused(f"storage '{shown(key)}' is a view of another, as only very old files have")
        one = Storage(key, kind.dtype, count)
        other = self.storages.setdefault(key, one)
        if other != one:
            kinds = [f'{of.count} numbers of {of.dtype}' for of in (other, one)]
            raise Refused(f"storage '{shown(key)}' is said to be {' and '.join(kinds)}")
        return one


def _fill(made: Any, items: Iterable[Any]) -> None:
    """Writes items into a dictionary, under keys that take no time to hash: tuples of tuples of one tuple would."""
    if not isinstance(made, dict):
        raise Refused('it has items of something that is no dictionary')
    for key, value in items:
        if not isinstance(key, str) and not (type(key) is int and -LARGEST < key < LARGEST):
            raise Refused('it has a dictionary with keys that are neither texts nor whole numbers')
        made[key] = value


def _dictionary(pairs: Any = None) -> dict:
    """What an OrderedDict becomes; Python 2 gave it its items at once, in a list of its own."""
    made: dict = {}
    if pairs is not None:
        if not isinstance(pairs, list):
            raise Refused('it has a dictionary of something that is no list of items')
        _fill(made, pairs)
        pairs.clear()  # or a file could make any number of dictionaries of one list
    return made


def _rebuild_tensor_v2(
    storage: Any, offset: Any, size: Any, stride: Any, _gradient: Any, _hooks: Any, _more: Any = None
) -> Tensor:
    return _rebuild_tensor(storage, offset, size, stride)


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    if not isinstance(storage, Storage) or not all(_few(numbers) for numbers in ([offset], size, stride)):
        raise Refused('a storage, an offset, a size or strides of a tensor is none')
    if len(size) != len(stride):
        raise Refused(f'a tensor of size {tuple(size)} and strides {tuple(stride)} is none')
    count = math.prod(size)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    # Tensors of weights repeat nothing, so a tensor is never larger than what is behind it.
    if count > storage.count or (count and last >= storage.count):
        raise Refused(f'a tensor of size {tuple(size)} does not fit its storage of {storage.count} numbers')
    return Tensor(storage, offset, tuple(size), tuple(stride))


def _few(numbers: Any) -> bool:
    """Whether these are numbers as a tensor's size has them, and no more than it can have."""
    if not isinstance(numbers, tuple | list) or len(numbers) > DIMENSIONS:
        return False
    return all(type(number) is int and 0 <= number < LARGEST for number in numbers)


def _rebuild_parameter(tensor: Any, _gradient: Any, _hooks: Any) -> Any:
    return tensor


# What a pickle may call, with as many arguments as PyTorch gives: any number would take any time.
_KNOWN = {
    ('collections', 'OrderedDict'): _dictionary,
    ('torch._utils', '_rebuild_tensor'): _rebuild_tensor,  # before PyTorch 0.4
    ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor_v2,
    ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
    **{('torch', name): StorageType(dtype) for name, dtype in DTYPES.items()},
}
