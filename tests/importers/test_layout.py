"""Every key of a file is accounted for: taken, known and left out, or named in an error."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.importers import cyclegan, layout
from gan_transfer.importers.files import FAMILIES
from gan_transfer.methods import METHODS
from gan_transfer.methods.contract import NetworkSettings
from tests.reference import cases

# Family -> a case with weights, its file's network, the network's name here.
GENERATORS = {
    'cut': ('cut_training', 'G'),
    'cyclegan': ('cyclegan_training', 'G_A'),
    'pix2pix': ('pix2pix_generator_unet128', ''),
}


def weights_of(family):
    return dict(_drawn(family))


@functools.cache
def _drawn(family):
    name, prefix = GENERATORS[family]
    return cases.load(name).weights(prefix=f'{prefix}.' if prefix else '')


def load(family, arrays, expected=None):
    name = FAMILIES[family].NETWORKS['G']
    learnt, _ = layout.without_constants(layout.without_prefixes(arrays))
    return layout.load(FAMILIES[family].ENTRIES[name](learnt), learnt, expected)


def assert_same(params, others):
    np.testing.assert_equal(params, others)


@pytest.mark.parametrize('family', GENERATORS)
@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'module._orig_mod.'])
def test_wrappers_of_the_network_leave_a_prefix_that_is_dropped(family, prefix):
    arrays = weights_of(family)
    wrapped = {prefix + key: value for key, value in arrays.items()}
    assert_same(load(family, wrapped), load(family, arrays))


@pytest.mark.parametrize('family', GENERATORS)
def test_missing_unexpected_and_misshapen_keys_are_all_named(family):
    arrays = dict(weights_of(family))
    params = load(family, arrays)
    key = next(key for key in arrays if key.endswith('.bias'))
    arrays['stray.weight'] = arrays.pop(key)
    with pytest.raises(ValueError, match=rf"missing keys \['{key}'\], unexpected keys \['stray.weight'\]"):
        load(family, arrays)
    arrays = weights_of(family)
    key = next(key for key, value in arrays.items() if value.ndim == 4 and not key.endswith('.filt'))
    arrays[key] = arrays[key][..., :2]
    with pytest.raises(ValueError, match=rf'misshapen .*{key.removesuffix(".weight")}: our kernel'):
        load(family, arrays, params)
    arrays[key] = arrays[key].reshape(-1)
    with pytest.raises(ValueError, match=rf"misshapen \['{key} \["):
        load(family, arrays, params)


@pytest.mark.parametrize('family', GENERATORS)
def test_a_layer_more_or_less_than_ours_is_named(family):
    arrays = weights_of(family)
    params = load(family, arrays)
    name, layer = next(iter(params.items()))
    for expected in ({**params, 'another': layer}, {k: v for k, v in params.items() if k != name}):
        with pytest.raises(ValueError, match=r'the file or our network has no .*/kernel'):
            load(family, arrays, expected)


def test_blurring_one_way_only_is_named():
    arrays = weights_of('cut')
    down = {key.replace('model.8.', 'model.7.'): value for key, value in arrays.items()}
    with pytest.raises(ValueError, match='doubles by a filter and halves without'):
        FAMILIES['cut'].options({'generator': down})


def test_a_discriminator_tells_whether_it_blurs():
    blurred = cases.load('cut_training').weights(prefix='D.')
    plain = cases.load('cyclegan_training').weights(prefix='D_A.')
    learnt, _ = layout.without_constants(blurred)
    cut = FAMILIES['cut']
    assert cut.options({'discriminator': learnt})['antialias']
    assert not cut.options({'discriminator': plain})['antialias']
    generator, _ = layout.without_constants(weights_of('cut'))
    with pytest.raises(ValueError, match='here do generator, and not discriminator'):
        cut.options({'generator': generator, 'discriminator': plain})
    with pytest.raises(
        ValueError, match=r'no patch projection: mlp_0\.0\.weight is missing, there are mlp_1'
    ):
        cut.options({'patch_projection': {'mlp_1.0.weight': np.zeros((2, 2), np.float32)}})


def test_a_generator_of_batch_norms_is_named():
    arrays = weights_of('cyclegan')
    width = arrays['model.1.weight'].shape[0]
    arrays |= {f'model.2.{name}': np.ones(width, np.float32) for name in ('weight', 'bias')}
    FAMILIES['cyclegan'].options({'generator_a_to_b': arrays})
    with pytest.raises(ValueError, match='has 6 convolutions outside its blocks, this one 7'):
        load('cyclegan', arrays)


def test_running_statistics_are_left_out_and_said():
    arrays = weights_of('cyclegan')
    stray = {
        'model.2.running_mean': np.zeros(8, np.float32),
        'model.2.running_var': np.ones(8, np.float32),
        'model.2.num_batches_tracked': np.array(3),
    }
    kept, lines = layout.without_constants({**arrays, **stray})
    assert set(kept) == set(arrays)
    assert lines == ['3 running statistics (the statistics of the images at hand are used)']


def test_another_filter_than_the_published_is_refused():
    arrays = weights_of('cut')
    key = next(key for key in arrays if key.endswith('.filt'))
    arrays[key] = np.full_like(arrays[key], 1 / 9)
    with pytest.raises(ValueError, match='is another filter than the published one'):
        load('cut', arrays)


def test_a_dropout_moves_the_second_convolution_of_a_block():
    arrays = weights_of('cyclegan')
    moved = {key.replace('conv_block.5', 'conv_block.6'): value for key, value in arrays.items()}
    assert moved.keys() != arrays.keys()
    assert_same(load('cyclegan', moved), load('cyclegan', arrays))


def test_a_cyclegan_of_cut_s_code_blurs_in_all_its_networks_or_in_none():
    blurring, plain = (
        {'generator_a_to_b': generator, 'generator_b_to_a': generator, 'discriminator_a': discriminator}
        for generator, discriminator in (
            (weights_of('cut'), cases.load('cut_training').weights(prefix='D.')),
            (weights_of('cyclegan'), cases.load('cyclegan_training').weights(prefix='D_A.')),
        )
    )
    blurring = {name: layout.without_constants(arrays)[0] for name, arrays in blurring.items()}
    assert cyclegan.options(blurring)['antialias'] is True
    assert cyclegan.options(plain)['antialias'] is False
    for name, others in (
        ('generator_b_to_a', 'generator_a_to_b, discriminator_a'),
        ('discriminator_a', 'generator_a_to_b, generator_b_to_a'),
    ):
        with pytest.raises(ValueError, match=f'here do {others}, and not {name}$'):
            cyclegan.options({**blurring, name: plain[name]})


def test_another_family_s_generator_is_named():
    with pytest.raises(ValueError, match='no U-Net'):
        FAMILIES['pix2pix'].options({'generator': weights_of('cut')})
    with pytest.raises(ValueError, match='no ResNet generator'):
        FAMILIES['cut'].options({'generator': weights_of('pix2pix')})


@pytest.mark.parametrize('shape', [(), (1,)])
@pytest.mark.parametrize('family', GENERATORS)
def test_arrays_of_no_or_one_number_are_named(family, shape):
    arrays = dict(weights_of(family))
    params = load(family, arrays)
    key = next(key for key in arrays if key.endswith('.bias'))
    with pytest.raises(ValueError, match=key.removesuffix('.bias')):
        load(family, {**arrays, key: np.zeros(shape, np.float32)}, params)


def test_weights_without_axes_tell_no_width():
    for family, network, key in (
        ('cut', 'generator', 'model.1.weight'),
        ('cut', 'patch_projection', 'mlp_0.0.weight'),
        ('pix2pix', 'generator', 'model.model.0.weight'),
    ):
        with pytest.raises(ValueError, match=rf'{key} has the shape \[\]'):
            FAMILIES[family].options({network: {key: np.zeros((), np.float32)}})


def test_other_numbers_of_domains_than_ours_are_named():
    case = cases.load('stargan_v2_networks')
    arrays = case.weights('style_encoder')
    entries = FAMILIES['stargan_v2'].ENTRIES['style_encoder'](arrays)
    params = layout.load(entries, arrays)
    domains = params['domain']['kernel'].shape[0]
    fewer = {key: value for key, value in arrays.items() if f'unshared.{domains - 1}.' not in key}
    with pytest.raises(ValueError, match=rf'{domains - 1} domains in place of {domains}'):
        layout.load(entries, fewer, params)


@pytest.mark.parametrize('family', ['cyclegan', 'cut', 'pix2pix'])
def test_a_discriminator_of_single_pixels_is_taken(family):
    """As the original names its layers; with pix2pix's batch norm the last convolution has no bias either."""
    channels = 6 if family == 'pix2pix' else 3
    shapes = {'net.0.weight': (4, channels, 1, 1), 'net.0.bias': (4,), 'net.2.weight': (8, 4, 1, 1)}
    if family == 'pix2pix':
        shapes |= {'net.3.weight': (8,), 'net.3.bias': (8,), 'net.5.weight': (1, 8, 1, 1)}
    else:
        shapes |= {'net.2.bias': (8,), 'net.5.weight': (1, 8, 1, 1), 'net.5.bias': (1,)}
    arrays = {key: np.ones(shape, np.float32) for key, shape in shapes.items()}
    name = 'discriminator_b' if family == 'cyclegan' else 'discriminator'
    options = FAMILIES[family].options({name: arrays})
    assert (options['discriminator_width'], options['discriminator_depth']) == (4, 0)
    settings = NetworkSettings(32, 2, jnp.float32, rematerialize=False)
    network = METHODS[family](**options).networks(settings)[name]
    shape = jax.eval_shape(network.module.init, jax.random.key(0), *network.inputs)['params']
    params = layout.load(FAMILIES[family].ENTRIES[name](arrays), arrays, shape)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shape)


def test_a_short_generator_of_cut_is_compared_in_the_layers_that_it_has():
    weights = weights_of('cut')
    blocks = cyclegan.blocks(weights)
    short = {key: value for key, value in weights.items() if int(key.split('.')[1]) not in blocks[2:]}
    options = FAMILIES['cut'].options({'generator': short})
    assert 'block_4' not in options['nce_layers']
    METHODS['cut'](**options).check(64, 2)


def test_stargan_v2_needs_its_networks_and_32_px():
    case, stargan_v2 = cases.load('stargan_v2_networks'), FAMILIES['stargan_v2']
    weights = {name: case.weights(name) for name in ('generator', 'mapping_network', 'style_encoder')}
    with pytest.raises(ValueError, match='networks are missing: there are style_encoder; generator, mapping'):
        stargan_v2.options({'style_encoder': weights['style_encoder']})
    shallow = {key: value for key, value in weights['style_encoder'].items() if 'shared.3.' not in key}
    with pytest.raises(ValueError, match='the networks are of 16 px; ours halve images of 32 px or more'):
        stargan_v2.options({**weights, 'style_encoder': shallow})
