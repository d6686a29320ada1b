"""Files of PyTorch are read without it, and those that want more than weights are refused."""

import collections
import json
import os
import pickle
import re
import struct
import zipfile
from contextlib import nullcontext

import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.importers.safetensors_file import read_safetensors_file
from gan_transfer.importers.torch_file import LEGACY_MAGIC, LEGACY_PROTOCOL, read_torch_file
from tests.importers import torch_files
from tests.importers.torch_files import Global, Storage, Tensor

ARRAYS = {
    'conv.weight': np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32),
    'half': np.arange(6, dtype=np.float16).reshape(2, 3),
    'brain': np.arange(5).astype(jnp.bfloat16),
    'double': np.array([0.1, -2.0]),
    'steps': np.array(7, np.int64),
    'mask': np.array([True, False]),
    'empty': np.zeros((0, 3), np.float32),
}


def assert_same(read, arrays):
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype, name
        np.testing.assert_array_equal(read[name], array, err_msg=name)


layouts = pytest.mark.parametrize('write', [torch_files.write_zip, torch_files.write_legacy])


@layouts
@pytest.mark.parametrize('kind', [torch_files.Tensor, torch_files.OldTensor])
def test_both_layouts_give_the_arrays(kind, write, tmp_path):
    assert_same(read_torch_file(write(tmp_path / 'a.pth', ARRAYS, kind=kind)), ARRAYS)
    nested = read_torch_file(write(tmp_path / 'b.pth', {'generator': ARRAYS, 'epoch': 3}, kind=kind))
    assert_same(nested['generator'], ARRAYS)
    assert nested['epoch'] is None


def test_safetensors_gives_the_arrays(tmp_path):
    arrays = {name: ARRAYS[name] for name in ('conv.weight', 'brain', 'steps', 'empty')}
    assert_same(
        read_safetensors_file(torch_files.write_safetensors(tmp_path / 'a.safetensors', arrays)), arrays
    )


def test_tensors_may_share_a_storage_and_be_transposed(tmp_path):
    storage = Storage('0', np.arange(12, dtype=np.float32))
    tree = {'a': Tensor(storage, 0, (3, 4), (4, 1)), 'b': Tensor(storage, 4, (2, 4), (1, 2))}
    read = read_torch_file(torch_files.write_zip(tmp_path / 'a.pth', tree, storages=[storage]))
    np.testing.assert_array_equal(read['a'], np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(read['b'], np.arange(4, 12).reshape(4, 2).T)


def test_dictionaries_within_one_another_many_times_are_read_once(tmp_path):
    tree, storages = torch_files.with_tensors({'a': np.zeros(1, np.float32)})
    for _ in range(60):
        tree = collections.OrderedDict(left=tree, right=tree)
    path = torch_files.write_zip(tmp_path / 'a.pth', tree, storages=storages)
    assert set(read_torch_file(path)) == {'left', 'right'}


@layouts
def test_tensors_in_lists_are_passed_over(write, tmp_path):
    """An optimizer's, for example: what is behind them in a legacy file is read all the same."""
    storages = [Storage(str(i), np.full(2 + i, i, np.float32)) for i in range(4)]
    listed, nested, own, last = (Tensor(storage, 0, storage.array.shape, (1,)) for storage in storages)
    tree = {'groups': [listed, (nested,)], 'state': {0: own}, 'weights': {'a': last}}
    read = read_torch_file(write(tmp_path / 'a.pth', tree, storages=storages))
    assert read['groups'] is None
    assert_same(read['state'], {0: storages[2].array})
    assert_same(read['weights'], {'a': storages[3].array})


@pytest.mark.parametrize('order', ['little', 'big'])
def test_big_endian_machines_write_zip_files_in_their_order(order, tmp_path):
    path = torch_files.write_zip(tmp_path / 'a.pth', ARRAYS, order=order)
    assert_same(read_torch_file(path), ARRAYS)
    with pytest.raises(ValueError, match='unknown byte order'):
        read_torch_file(torch_files.write_zip(tmp_path / 'b.pth', ARRAYS, order='middle'))


@pytest.mark.parametrize('little_endian', [True, False])
def test_legacy_numbers_are_little_endian_on_every_machine(little_endian, tmp_path):
    path = torch_files.write_legacy(tmp_path / 'a.pth', ARRAYS, little_endian=little_endian)
    assert_same(read_torch_file(path), ARRAYS)


def test_what_python_2_wrote_is_a_dictionary(tmp_path):
    """It gave an OrderedDict its items in a list, and attributes, such as versions of layers, behind it."""
    pairs = Runs('collections', 'OrderedDict', [['a', Runs('collections', 'OrderedDict', [[3, {}]])]])
    pairs.parts += ({'_metadata': {'': {'version': 1}}},)
    path = torch_files.write_zip(tmp_path / 'a.pth', {'weights': pairs}, storages=[])
    assert read_torch_file(path) == {'weights': {'a': {3: {}}}}


class Runs:
    """What a hostile pickle would have the reader call."""

    def __init__(self, module, name, *arguments):
        self.parts = (Global(module, name), arguments)

    def __reduce_ex__(self, protocol):
        return self.parts


def claims(count, *, in_file=4):
    """A tensor whose storage says that it has `count` numbers, where the file has fewer."""
    storage = Storage('0', np.zeros(in_file, np.float32))
    claimed = Storage('0', np.broadcast_to(np.float32(0), count))
    return {'a': Tensor(claimed, 0, (count,), (1,))}, [storage]


def tensor(size, stride, offset=0):
    storage = Storage('0', np.zeros(4, np.float32))
    return {'a': Tensor(storage, offset, size, stride)}, [storage]


def two_sizes():
    small, large = (Storage('0', np.broadcast_to(np.float32(0), n)) for n in (4, 4000))
    tree = {'a': Tensor(large, 0, (4000,), (1,)), 'b': Tensor(small, 0, (4,), (1,))}
    return tree, [Storage('0', np.zeros(4, np.float32))]


def pickled(*parts):
    """A pickle of protocol 2 from its opcodes."""
    return b'\x80\x02' + b''.join(parts) + b'.'


NESTED = b')q\x00' + b'h\x00\x86q\x00' * 45  # a tuple of twice itself, to be hashed or shown in 2**45 steps
DICTIONARY = b'ccollections\nOrderedDict\n'
TENSOR = b'ctorch._utils\n_rebuild_tensor\n'
LONG = b'\x8b\x00\x00\x10\x00' + b'\x7f' * 2**20  # a number of 2**20 bytes
PICKLES = {
    'allocates 800 MB': (pickled(b'\x96' + struct.pack('<Q', 800 * 2**20)), 'it has the opcode 150'),
    'makes a set': (pickled(b'\x8f'), 'it has the opcode 143'),
    'makes an object without a call': (pickled(DICTIONARY, b')\x81'), 'it has the opcode 129'),
    'has a nested key': (pickled(b'}', NESTED, b'Ns'), 'keys that are neither texts nor whole numbers'),
    'has nested keys': (pickled(b'}(', NESTED, b'Nu'), 'keys that are neither texts nor whole numbers'),
    'has a nested key in a list': (
        pickled(DICTIONARY, b'](', NESTED, b'N\x86e\x85R'),
        'keys that are neither texts nor whole numbers',
    ),
    'has an endless key': (pickled(b'}', LONG, b'Ns'), 'keys that are neither texts nor whole numbers'),
    'has items of a tensor': (pickled(b'NK\x00Ns'), 'items of something that is no dictionary'),
    'names a storage by a nested key': (
        pickled(b'(U\x07storagectorch\nFloatStorage\n', NESTED, b'NK\x04tQ'),
        'a storage without a name',
    ),
    'has a nested size': (pickled(TENSOR, b'(NK\x00', NESTED, b')tR'), 'of a tensor is none'),
    'shapes a storage by a nested size': (
        pickled(TENSOR, b'((U\x07storagectorch\nFloatStorage\nU\x010NK\x04tQK\x00', NESTED, b')tR'),
        'of a tensor is none',
    ),
    'shapes a storage by an endless size': (
        pickled(TENSOR, b'((U\x07storagectorch\nFloatStorage\nU\x010NK\x04tQK\x00', LONG, b'\x85)tR'),
        'of a tensor is none',
    ),
    'claims an endless storage': (
        pickled(b'(U\x07storagectorch\nFloatStorage\nU\x010N', LONG, b'tQ'),
        'has no known type or size',
    ),
    'wants what takes lines to name': (pickled(b'Vos\nVa\x1b\n\x93'), 'it has the opcode 86'),
    'wants what has an unspeakable name': (
        pickled(b'X\x02\x00\x00\x00osX\x04\x00\x00\x00a\n\x1bb\x93'),
        r'it wants os.a\n\x1bb, which',
    ),
}


@pytest.mark.parametrize('kind', PICKLES)
def test_a_pickle_that_would_take_memory_or_time_without_end_is_refused(kind, tmp_path):
    content, message = PICKLES[kind]
    path = tmp_path / 'a.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_torch_file(path)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_a_list_becomes_one_dictionary_however_often_it_is_referred_to(tmp_path):
    items = [['a', 1], ['b', 2]]
    tree = {name: Runs('collections', 'OrderedDict', items) for name in ('first', 'second')}
    read = read_torch_file(torch_files.write_zip(tmp_path / 'a.pth', tree, storages=[]))
    assert (list(read['first']), list(read['second'])) == (['a', 'b'], [])


def test_zip_entries_that_overlap_are_refused(tmp_path):
    """Of one megabyte, and told 3 times: where one begins is within the one before."""
    path = torch_files.write_zip(
        tmp_path / 'a.pth', {'a': np.zeros(2**18, np.float32)}, more=[('b', b''), ('c', b'')]
    )
    content = bytearray(path.read_bytes())
    for name in (b'b', b'c'):
        entry = content.rindex(b'PK\x01\x02', 0, content.rindex(name))
        content[entry + 20 : entry + 28] = struct.pack('<II', 2**20, 2**20)
    path.write_bytes(content)
    with pytest.raises(ValueError, match='its entries overlap'):
        read_torch_file(path)


HOSTILE = {
    'runs a command': (({'a': Runs('os', 'system', 'touch ran')}, []), 'it wants os.system'),
    'runs python': (({'a': Runs('builtins', 'eval', '1')}, []), 'it wants builtins.eval'),
    'imports': (({'a': Global('torch.nn', 'Linear')}, []), 'it wants torch.nn.Linear'),
    'claims 10 GB': (claims(10 * 2**30 // 4), 'says it has 10737418240 bytes, and has 16'),
    'repeats without end': (tensor((2**40,), (0,)), 'does not fit its storage of 4 numbers'),
    'looks beyond its storage': (tensor((2,), (100,)), 'does not fit its storage of 4 numbers'),
    'looks before its storage': (tensor((2,), (1,), offset=-5), 'is none'),
    'has too few strides': (tensor((2, 2), (1,)), 'is none'),
    'says two sizes of one storage': (two_sizes(), "storage '0' is said to be"),
    'has no such storage': ((claims(4)[0], []), "storage '0' is missing"),
}


@pytest.mark.parametrize('kind', HOSTILE)
def test_a_file_that_wants_or_claims_more_is_refused(kind, tmp_path, monkeypatch):
    (tree, storages), message = HOSTILE[kind]
    path = torch_files.write_zip(tmp_path / 'a.pth', tree, storages=storages)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_torch_file(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert os.listdir(tmp_path) == ['a.pth']


def test_legacy_storages_are_not_believed_either(tmp_path):
    whole = torch_files.write_legacy(tmp_path / 'a.pth', {'a': np.zeros(4, np.float32)}).read_bytes()
    for content, message in (
        (whole[:-20], "storage '0' has|damaged"),
        (whole[:-24] + struct.pack('<q', 2**31) + whole[-16:], "storage '0' has 2147483648 numbers"),
        (whole[:-3], 'says it has 16 bytes, and has 13'),
        (whole[: len(whole) // 2], 'damaged|no PyTorch file'),
    ):
        (tmp_path / 'b.pth').write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_torch_file(tmp_path / 'b.pth')
    parts = [torch_files.dump(x) for x in (LEGACY_MAGIC, LEGACY_PROTOCOL, {'little_endian': True})]
    parts += [torch_files.dump({'a': Runs('os', 'system', 'true')}), torch_files.dump([])]
    (tmp_path / 'b.pth').write_bytes(b''.join(parts))
    with pytest.raises(ValueError, match=r'it wants os\.system'):
        read_torch_file(tmp_path / 'b.pth')


def test_damaged_and_other_files_are_one_line(tmp_path):
    whole = torch_files.write_zip(tmp_path / 'a.pth', ARRAYS).read_bytes()
    other = tmp_path / 'other.zip'
    with zipfile.ZipFile(other, 'w') as archive:
        archive.writestr('readme.txt', 'hello')
    contents = [
        b'',
        b'hello',
        whole[: len(whole) // 2],
        other.read_bytes(),
        pickle.dumps({'a': 1}),
        # Asks for a place in the memo that would take 30 GB as a list.
        b'\x80\x02}r\xff\xff\xff\xfe.',
        # A text that says it has 2 GB.
        b'\x80\x02X\xff\xff\xff\x7fabc.',
    ]
    for content in contents:
        (tmp_path / 'b.pth').write_bytes(content)
        with pytest.raises(ValueError, match=r'b\.pth') as caught:
            read_torch_file(tmp_path / 'b.pth')
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['../escape', '/etc/passwd', 'archive/../../escape'])
def test_entries_that_lead_elsewhere_are_refused(name, tmp_path):
    path = torch_files.write_zip(tmp_path / 'a.pth', ARRAYS, more=[(name, b'x')])
    with pytest.raises(ValueError, match='it has an entry called'):
        read_torch_file(path)
    assert os.listdir(tmp_path) == ['a.pth']


def test_compressed_entries_are_refused_before_they_are_read(tmp_path):
    tree = {'a': np.zeros(10**6, np.float32)}
    path = torch_files.write_zip(tmp_path / 'a.pth', tree, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match='is compressed, or larger than the file'):
        read_torch_file(path)


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'dtype': 'F32', 'shape': [2**40], 'data_offsets': [0, 2**42]}, 'a has no shape, or no place'),
        (
            {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 4]},
            r'a of shape \(2,\) does not fit its bytes 0 to 4',
        ),
        ({'dtype': 'F32', 'shape': [-1], 'data_offsets': [4, 0]}, 'a has no shape, or no place'),
        ({'dtype': 'F32', 'shape': [1] * 99, 'data_offsets': [0, 4]}, 'a has no shape, or no place'),
        ({'dtype': 'F32', 'shape': [0, 2**30, 2**30], 'data_offsets': [0, 0]}, 'a has no shape, or no place'),
        ({'dtype': 'F32', 'shape': [1], 'data_offsets': [8, 12]}, 'a has no shape, or no place'),
        ({'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4.0]}, 'a has no shape, or no place'),
        ({'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4, 8]}, 'no readable table of contents'),
        ({'dtype': 'F32', 'shape': [1], 'data_offsets': 4}, 'no readable table of contents'),
        ({'dtype': 'X', 'shape': [1], 'data_offsets': [0, 4]}, 'no readable table of contents'),
        (['F32'], 'no readable table of contents'),
    ],
)
def test_safetensors_that_do_not_fit_are_refused(entry, message, tmp_path):
    header = repr({'a': entry}).replace("'", '"').encode()
    path = tmp_path / 'a.safetensors'
    path.write_bytes(len(header).to_bytes(8, 'little') + header + bytes(8))
    with pytest.raises(ValueError, match=rf'a\.safetensors.*{message}') as caught:
        read_safetensors_file(path)
    assert str(caught.value).isprintable()
    path.write_bytes((2**60).to_bytes(8, 'little') + header)
    with pytest.raises(ValueError, match='cut off'):
        read_safetensors_file(path)


def test_safetensors_that_overlap_are_refused(tmp_path):
    """Or a small file would become as many large arrays as it names."""
    path = torch_files.write_safetensors(tmp_path / 'a.safetensors', {'a': np.zeros(4, np.float32)})
    content = path.read_bytes()
    table = json.loads(content[8:-16])
    for tables, refused in (({**table, 'b': table['a']}, True), (table, False)):
        header = json.dumps(tables).encode()
        path.write_bytes(len(header).to_bytes(8, 'little') + header + content[-16:])
        with (
            pytest.raises(ValueError, match=r'a\.safetensors has arrays that overlap')
            if refused
            else nullcontext()
        ):
            read_safetensors_file(path)
