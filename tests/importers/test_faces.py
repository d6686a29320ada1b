"""StarGAN v2's generator of faces (CelebA-HQ): recognized by its depth, with masks and without."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.importers import layout, stargan_v2
from gan_transfer.methods import METHODS
from gan_transfer.methods.contract import NetworkSettings
from gan_transfer.networks import layers
from tests import command
from tests.importers import torch_files

SIZE = 64
HIGH_PASS = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
OPTIONS = {
    'width': 4,
    'max_width': 8,
    'downsamplings': 3,
    'high_pass_weight': 1.0,
    'mapping_width': 8,
    'style_size': 4,
    'latent_length': 4,
}
# Our names of a layer -> the original's.
NAMES = (
    (r'^(encode|decode)_(\d+)/', r'\1.\2.'),
    (r'convolution_(\d)', lambda match: f'conv{int(match[1]) + 1}'),
    (r'norm_(\d)', lambda match: f'norm{int(match[1]) + 1}'),
    (r'/linear', '.fc'),
    (r'shortcut', 'conv1x1'),
    (r'to_rgb_norm', 'to_rgb.0'),
    (r'^to_rgb/', 'to_rgb.2/'),
    (r'trunk/from_rgb', 'shared.0'),
    (r'trunk/block_(\d)/', lambda match: f'shared.{int(match[1]) + 1}.'),
    (r'shared_(\d)', lambda match: f'shared.{2 * int(match[1])}'),
    (r'domain_(\d)', lambda match: f'unshared.{{}}.{2 * int(match[1])}'),
    (r'^domain/', 'unshared.{}/'),
    (r'/(kernel|scale)$', '.weight'),
    (r'/bias$', '.bias'),
)


def networks(size=SIZE, **changes):
    settings = NetworkSettings(size, 2, jnp.float32, rematerialize=False)
    return METHODS['stargan_v2'](**{**OPTIONS, **changes}).networks(settings)


def shapes_of(network):
    return jax.eval_shape(network.module.init, jax.random.key(0), *network.inputs)['params']


def any_params(network):
    rng = np.random.default_rng(0)

    def draw(x):  # as large as a first weight, so that outputs are images
        return (rng.normal(size=x.shape) / np.sqrt(np.prod(x.shape[:-1]))).astype(np.float32)

    return jax.tree.map(draw, shapes_of(network))


def original_layout(params, size=SIZE):
    """Returns our parameters as the original's state_dict has them."""
    arrays = {}
    params = {**params}
    if 'trunk' in params:  # one layer behind the blocks
        params[f'shared.{int(np.log2(size))}'] = (trunk := {**params['trunk']}).pop('tap')
        params['trunk'] = trunk
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator='/')
        for ours, theirs in NAMES:
            name = re.sub(ours, theirs, name)
        for domain, value in enumerate(leaf) if '{}' in name else ((None, leaf),):
            value = np.asarray(value)
            axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim)
            arrays[name.format(domain)] = value.transpose(axes) if axes else value
    return arrays


def face_weights():
    names = ('generator', 'mapping_network', 'style_encoder')
    weights = {name: original_layout(any_params(networks()[name])) for name in names}
    # What the file has and nothing uses: a shortcut wherever a block of the decoder narrows.
    weights['generator']['decode.4.conv1x1.weight'] = np.ones((4, 8, 1, 1), np.float32)
    return weights


def test_the_number_of_parameters_is_the_published_one():
    method = METHODS['stargan_v2'](width=64, high_pass_weight=1.0)
    generator = method.networks(NetworkSettings(256, 2, jnp.float32, rematerialize=False))['generator']
    shapes = shapes_of(generator)
    unused_shortcuts = 512 * 256 + 256 * 128 + 128 * 64
    assert sum(x.size for x in jax.tree.leaves(shapes)) + unused_shortcuts == 43_467_395


def test_the_file_tells_that_it_is_the_generator_of_faces():
    weights, lines = stargan_v2.drop_unused(face_weights())
    assert lines == ['generator: ignored 1 shortcuts, which the generator of faces does not use']
    assert stargan_v2.options(weights) == {
        **OPTIONS,
        'bottleneck_blocks': 2,
        'image_size': SIZE,
        'domains': 2,
        **{'residual': False, 'clip': False, 'pixel_norm': False, 'skips': False},
        'style_encoder_width': 0,
        'discriminator_blocks': 0,
    }
    for name, arrays in weights.items():
        assert_loads(name, arrays, any_params(networks()[name]))


@pytest.mark.parametrize('weight', [0.5, 1.0, 10.0])
def test_the_filter_tells_its_weight(weight):
    weights = face_weights()
    weights['generator']['hpf.filter'] = (HIGH_PASS / weight).astype(np.float32)
    kept, lines = layout.without_constants(weights['generator'])
    weights, _ = stargan_v2.drop_unused({**weights, 'generator': kept})
    assert lines == ['1 constant filters (equal to ours)']
    assert stargan_v2.options(weights)['high_pass_weight'] == pytest.approx(weight)
    assert_loads('generator', weights['generator'], any_params(networks()['generator']))
    with pytest.raises(ValueError, match='another filter'):
        layout.without_constants({'hpf.filter': np.eye(3, dtype=np.float32)})


@pytest.mark.parametrize(
    ('size', 'width', 'max_width'),
    [(32, 4, 16), (64, 4, 32), (64, 4, 8), (64, 16, 8), (32, 4, 4)],
    ids=['beyond the generator', 'only the encoder reaches it', 'reached', 'below the first', 'no growth'],
)
def test_the_widest_layer_of_all_networks_tells_the_cap(size, width, max_width):
    """The encoder halves more often than the generator, and the first width has no cap."""
    changes = {'width': width, 'max_width': max_width, 'downsamplings': 0, 'high_pass_weight': 0.0}
    made = {
        name: any_params(networks(size, **changes)[name])
        for name in ('generator', 'mapping_network', 'style_encoder')
    }
    assert made['generator']['from_rgb']['kernel'].shape[-1] == width
    weights = {name: original_layout(params, size) for name, params in made.items()}
    options = stargan_v2.options(weights)
    assert (options.pop('image_size'), options.pop('domains')) == (size, 2)
    imported = networks(size, **options)
    for name, arrays in weights.items():
        assert_loads(name, arrays, made[name])
        assert jax.tree.map(jnp.shape, shapes_of(imported[name])) == jax.tree.map(jnp.shape, made[name])


def assert_loads(name, arrays, expected):
    loaded = layout.load(stargan_v2.ENTRIES[name](arrays), arrays, expected)
    jax.tree.map(np.testing.assert_array_equal, loaded, expected)


@pytest.mark.parametrize(
    ('network', 'key'), [('generator', 'from_rgb.weight'), ('mapping_network', 'shared.0.weight')]
)
def test_another_network_is_named(network, key):
    weights = face_weights()
    del weights[network][key]
    with pytest.raises(ValueError, match=rf'no {network} of StarGAN v2: {key} is missing'):
        stargan_v2.options(weights)


def test_masks_add_the_high_passed_detail_of_the_source():
    network = networks()['generator']
    module, inputs = network.module, jax.tree.map(jnp.zeros_like, network.inputs)
    params = jax.jit(module.init)(jax.random.key(0), *inputs)['params']
    images = jax.random.uniform(jax.random.key(1), (2, SIZE, SIZE, 3), minval=-1)
    style = jax.random.normal(jax.random.key(2), (2, 4))

    def translate(*masks):
        return module.apply({'params': params}, images, style, *masks)[0]

    nothing = jnp.zeros((2, SIZE, SIZE, 2))
    plain = translate()
    np.testing.assert_allclose(translate(nothing), plain, atol=1e-6)
    left = nothing.at[:, :, : SIZE // 2, :].set(1)
    for masks in (left, left.at[..., 0].set(0), left.at[..., 1].set(0)):
        assert float(jnp.abs(translate(masks) - plain).max()) > 1e-3


def test_a_high_pass_is_zero_on_what_is_flat():
    x = jax.random.normal(jax.random.key(0), (1, 6, 5, 2))
    filtered = layers.high_pass(x)
    kernel = HIGH_PASS
    np.testing.assert_allclose(
        filtered[0, 2, 3], np.einsum('ij,ijc->c', kernel, x[0, 1:4, 2:5]), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(layers.high_pass(jnp.ones((1, 5, 5, 1)))[0, 1:-1, 1:-1], 0, atol=1e-6)


@pytest.mark.slow
def test_faces_are_translated_with_a_mask_and_without(tmp_path):
    path = torch_files.write_zip(tmp_path / '100000_nets_ema.ckpt', face_weights())
    run, image = tmp_path / 'run', command.write(tmp_path / 'face.png', command.picture(1))
    mask = command.write(tmp_path / 'mask.png', command.picture(2, dark=True))
    command.launch('--mode=import', '--from=stargan_v2', f'--checkpoint={path}', f'--workdir={run}')
    translate = (
        '--mode=translate',
        f'--workdir={run}',
        f'--source={image}',
        f'--target={image}',
        '--target_domain=1',
    )
    plain, masked = tmp_path / 'plain.png', tmp_path / 'masked.png'
    assert 'no --mask of the face' in command.launch(*translate, f'--output={plain}').stdout
    command.launch(*translate, f'--mask={mask}', f'--output={masked}')
    assert plain.read_bytes() != masked.read_bytes()
