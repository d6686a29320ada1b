"""Which files are read, and everything in them: taken, named as left out, or an error."""

import pathlib

import numpy as np
import pytest

from gan_transfer.importers import files
from gan_transfer.importers.files import read_networks
from tests.importers import torch_files
from tests.reference import cases

ARRAYS = {'model.1.weight': np.zeros(2, np.float32)}
STARGAN = ('generator', 'mapping_network', 'style_encoder')


def write(*paths, tree=ARRAYS):
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        torch_files.write_zip(path, tree)
    return paths[0]


def test_a_file_brings_its_companions(tmp_path):
    write(*(tmp_path / f'{name}.pth' for name in ('5_net_G_A', 'latest_net_G_A', 'latest_net_D_B')))
    for path in (tmp_path, tmp_path / 'latest_net_D_B.pth'):
        networks, _ = read_networks(str(path), 'cyclegan')
        assert set(networks) == {'generator_a_to_b', 'discriminator_a'}
    assert set(read_networks(str(tmp_path / '5_net_G_A.pth'), 'cyclegan')[0]) == {'generator_a_to_b'}


def test_a_file_of_another_name_is_the_generator(tmp_path):
    write(tmp_path / 'horse2zebra.pth')
    assert set(read_networks(str(tmp_path / 'horse2zebra.pth'), 'cyclegan')[0]) == {'generator_a_to_b'}
    assert set(read_networks(str(tmp_path / 'horse2zebra.pth'), 'cut')[0]) == {'generator'}


def test_a_dictionary_of_networks_and_the_landmarks_network(tmp_path):
    write(tmp_path / '100000_nets_ema.ckpt', tree=dict.fromkeys((*STARGAN, 'fan'), ARRAYS))
    networks, notes = read_networks(str(tmp_path / '100000_nets_ema.ckpt'), 'stargan_v2')
    assert set(networks) == set(STARGAN)
    assert notes == ["100000_nets_ema.ckpt: ignored the network 'fan'"]


def test_safetensors_and_nested_state_dicts(tmp_path):
    torch_files.write_safetensors(tmp_path / 'latest_net_G.safetensors', ARRAYS)
    write(tmp_path / 'b.pth', tree={'state_dict': ARRAYS, 'epoch': 3})
    for name in ('latest_net_G.safetensors', 'b.pth'):
        assert set(read_networks(str(tmp_path / name), 'pix2pix')[0]) == {'generator'}


@pytest.mark.parametrize(
    ('path', 'family', 'message'),
    [
        ('nothing.pth', 'cut', 'no such file or folder'),
        ('a', 'cut', 'has no file .*_net_<network> of G, F, D; name one of its files: none'),
        ('b', 'cut', 'has files .*_net_<network> of 5, 6: name one file'),
        ('one.pth', 'stargan_v2', 'holds one network; a file of all'),
        ('other.pth', 'stargan_v2', "has a network 'unet'; known are generator"),
        (
            'half.pth',
            'stargan_v2',
            'networks are missing: there are generator; generator, mapping_network',
        ),
        ('list.pth', 'cut', 'holds no dictionary of weights'),
    ],
)
def test_what_cannot_be_read_is_told(path, family, message, tmp_path):
    (tmp_path / 'a').mkdir()
    write(tmp_path / 'b' / '5_net_G.pth', tmp_path / 'b' / '6_net_G.pth', tmp_path / 'one.pth')
    write(tmp_path / 'other.pth', tree={'unet': ARRAYS})
    write(tmp_path / 'half.pth', tree={'generator': ARRAYS})
    write(tmp_path / 'list.pth', tree=[1, 2])
    with pytest.raises(ValueError, match=message):
        read_networks(str(tmp_path / path), family)


def test_a_flat_file_of_several_networks_is_taken_apart(tmp_path):
    """As safetensors knows no dictionaries within one another."""
    case = cases.load('stargan_v2_training')
    weights = {name: case.weights(prefix=f'{name}.') for name in STARGAN}
    nested = torch_files.write_zip(tmp_path / 'nested.ckpt', {**weights, 'fan': ARRAYS})
    flat = {f'{name}.{key}': value for name, part in weights.items() for key, value in part.items()}
    flat['fan.model.1.weight'] = ARRAYS['model.1.weight']
    wrapped = {f'module.{key}': value for key, value in flat.items()}
    expected, notes = read_networks(str(nested), 'stargan_v2')
    assert notes == ["nested.ckpt: ignored the network 'fan'"]
    for path in (
        torch_files.write_safetensors(tmp_path / 'a.safetensors', flat),
        torch_files.write_zip(tmp_path / 'b.pth', flat),
        torch_files.write_legacy(tmp_path / 'c.pth', {'state_dict': wrapped}),
    ):
        networks, notes = read_networks(str(path), 'stargan_v2')
        np.testing.assert_equal(networks, expected)
        assert notes == [f"{path.name}: ignored the network 'fan'"]
    path = torch_files.write_zip(tmp_path / 'd.pth', {**flat, 'optimizer.step': np.zeros(2)})
    with pytest.raises(ValueError, match='or keys that begin with these names'):
        read_networks(str(path), 'stargan_v2')


def test_a_name_of_a_network_before_the_keys_is_no_key_of_it(tmp_path):
    path = write(tmp_path / 'a.pth', tree={f'D.{key}': value for key, value in ARRAYS.items()})
    networks, _ = read_networks(str(path), 'cut')
    np.testing.assert_equal(networks, {'discriminator': ARRAYS})


def test_a_file_s_name_tells_the_network_whatever_its_keys_begin_with(tmp_path):
    path = write(tmp_path / 'latest_net_G.pth', tree={f'D.{key}': value for key, value in ARRAYS.items()})
    networks, _ = read_networks(str(path), 'cut')
    assert {name: list(part) for name, part in networks.items()} == {'generator': ['D.model.1.weight']}


@pytest.mark.parametrize(
    ('tree', 'lines'),
    [
        ({'G': ARRAYS, 'epoch': 3, 'step': np.array(7)}, ['ignored beside the weights: epoch, step']),
        ({'state_dict': ARRAYS, 'optimizer': {'a': 1}, 3: 'x'}, ['ignored beside the weights: optimizer, 3']),
        (
            {'state_dict': {'state_dict': {'G': ARRAYS, 'a': 1}, 'b': 2}, 'c': 3},
            ['ignored beside the weights: c, b, a'],
        ),
        ({'state_dict': {'G': ARRAYS, 'fan': ARRAYS}}, ["ignored the network 'fan'"]),
        (
            {'G': ARRAYS, 'fan': ARRAYS, 'epoch': 3},
            ["ignored the network 'fan'", 'ignored beside the weights: epoch'],
        ),
        ({'G': ARRAYS}, []),
    ],
)
def test_what_is_beside_the_weights_is_named(tree, lines, tmp_path):
    networks, notes = read_networks(str(write(tmp_path / 'a.pth', tree=tree)), 'cut')
    np.testing.assert_equal(networks, {'generator': ARRAYS})
    assert notes == [f'a.pth: {line}' for line in lines]


def test_arrays_beside_networks_do_not_make_them_one(tmp_path):
    path = write(tmp_path / 'a.ckpt', tree={**dict.fromkeys(STARGAN, ARRAYS), 'step': np.array(7)})
    networks, notes = read_networks(str(path), 'stargan_v2')
    assert set(networks) == set(STARGAN)
    assert notes == ['a.ckpt: ignored beside the weights: step']


def test_a_companion_without_weights_is_named_and_no_more(tmp_path):
    """CUT saves its projection F in any case, one without parameters too."""
    generator, projection = tmp_path / 'latest_net_G.pth', tmp_path / 'latest_net_F.pth'
    write(generator)
    write(projection, tree={})
    for path in (tmp_path, generator):
        networks, notes = read_networks(str(path), 'cut')
        assert set(networks) == {'generator'}
        assert notes == ['latest_net_F.pth: has no weights']
    with pytest.raises(ValueError, match=r'latest_net_F\.pth has no weights'):
        read_networks(str(projection), 'cut')
    write(generator, tree={'state_dict': {}})
    with pytest.raises(ValueError, match=f'{tmp_path} has no weights'):
        read_networks(str(tmp_path), 'cut')
    with pytest.raises(ValueError, match="network 'generator' has no weights"):
        read_networks(str(write(tmp_path / 'a.ckpt', tree={name: {} for name in STARGAN})), 'stargan_v2')


def test_one_network_twice_in_a_file_is_refused(tmp_path):
    path = write(tmp_path / 'a.pth', tree={'G': ARRAYS, 'G_A': ARRAYS})
    with pytest.raises(ValueError, match=r'G of a\.pth and G_A of a\.pth are the same network'):
        read_networks(str(path), 'cyclegan')


def test_the_file_that_is_named_is_read_and_two_of_one_network_are_refused(tmp_path):
    arrays = cases.load('cyclegan_training').weights(prefix='G_A.')
    paths = {}
    for number, name in enumerate(('latest_net_G.pth', 'latest_net_G_A.pth')):
        scaled = {key: (number + 1) * value for key, value in arrays.items()}
        paths[name] = torch_files.write_zip(tmp_path / name, scaled)
    for number, name in enumerate(paths):
        networks, _ = read_networks(str(paths[name]), 'cyclegan')
        bias = networks['generator_a_to_b']['model.1.bias']
        np.testing.assert_array_equal(bias, (number + 1) * arrays['model.1.bias'])
    discriminator = cases.load('cyclegan_training').weights(prefix='D_A.')
    judge = torch_files.write_zip(tmp_path / 'latest_net_D_A.pth', discriminator)
    assert set(read_networks(str(paths['latest_net_G.pth']), 'cyclegan')[0]) == {
        'generator_a_to_b',
        'discriminator_b',
    }
    for path in (tmp_path, judge):
        with pytest.raises(ValueError, match=r'G\.pth and G_A of latest_net_G_A\.pth are the same network'):
            read_networks(str(path), 'cyclegan')


def test_a_file_that_holds_itself_is_refused():
    tree = {}
    tree['state_dict'] = tree
    with pytest.raises(ValueError, match='known are'):
        files._by_network(tree, pathlib.Path('a.pth'), None, {'G': 'generator'})
