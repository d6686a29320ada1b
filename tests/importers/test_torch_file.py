"""Files of PyTorch are read without it, and those that want more than weights are refused."""

import collections
import os
import pickle
import re
import struct
import zipfile

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
    arrays = {name: ARRAYS[name] for name in ('conv.weight', 'brain', 'steps')}
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
        ({'dtype': 'F32', 'shape': [2**40], 'data_offsets': [0, 2**42]}, 'a of shape'),
        ({'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 4]}, 'a of shape'),
        ({'dtype': 'F32', 'shape': [-1], 'data_offsets': [4, 0]}, 'a of shape'),
        ({'dtype': 'X', 'shape': [1], 'data_offsets': [0, 4]}, 'no readable table of contents'),
        (['F32'], 'no readable table of contents'),
    ],
)
def test_safetensors_that_do_not_fit_are_refused(entry, message, tmp_path):
    header = repr({'a': entry}).replace("'", '"').encode()
    path = tmp_path / 'a.safetensors'
    path.write_bytes(len(header).to_bytes(8, 'little') + header + bytes(8))
    with pytest.raises(ValueError, match=message):
        read_safetensors_file(path)
    path.write_bytes((2**60).to_bytes(8, 'little') + header)
    with pytest.raises(ValueError, match='cut off'):
        read_safetensors_file(path)
