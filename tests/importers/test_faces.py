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
    (r'trunk/tap', 'shared.6'),
    (r'shared_(\d)', lambda match: f'shared.{2 * int(match[1])}'),
    (r'domain_(\d)', lambda match: f'unshared.{{}}.{2 * int(match[1])}'),
    (r'^domain/', 'unshared.{}/'),
    (r'/(kernel|scale)$', '.weight'),
    (r'/bias$', '.bias'),
)


def networks():
    settings = NetworkSettings(SIZE, 2, jnp.float32, rematerialize=False)
    return METHODS['stargan_v2'](**OPTIONS).networks(settings)


def first_params(network, seed=0):
    inputs = [jnp.zeros(x.shape, x.dtype) for x in network.inputs]
    return network.module.init(jax.random.key(seed), *inputs)['params']


def original_layout(params):
    """Returns our parameters as the original's state_dict has them."""
    arrays = {}
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
    weights = {name: original_layout(first_params(networks()[name])) for name in names}
    # What the file has and nothing uses: a shortcut wherever a block of the decoder narrows.
    weights['generator']['decode.4.conv1x1.weight'] = np.ones((4, 8, 1, 1), np.float32)
    return weights


def test_the_number_of_parameters_is_the_published_one():
    method = METHODS['stargan_v2'](width=64, high_pass_weight=1.0)
    generator = method.networks(NetworkSettings(256, 2, jnp.float32, rematerialize=False))['generator']
    shapes = jax.eval_shape(lambda: first_params(generator))
    unused_shortcuts = 512 * 256 + 256 * 128 + 128 * 64
    assert sum(x.size for x in jax.tree.leaves(shapes)) + unused_shortcuts == 43_467_395


def test_the_file_tells_that_it_is_the_generator_of_faces():
    weights, lines = stargan_v2.drop_unused(face_weights())
    assert lines == ['generator: ignored 1 shortcuts, which the generator of faces does not use']
    options = stargan_v2.options(weights)
    assert options.pop('image_size') == SIZE
    assert options.pop('domains') == 2
    assert options == {**OPTIONS, 'bottleneck_blocks': 2}
    for name, arrays in weights.items():
        expected = first_params(networks()[name])
        jax.tree.map(
            np.testing.assert_array_equal,
            layout.load(stargan_v2.ENTRIES[name](arrays), arrays, expected),
            expected,
        )


def test_masks_add_the_high_passed_detail_of_the_source():
    module = networks()['generator'].module
    params = first_params(networks()['generator'])
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
    kernel = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
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
