"""The structure distance sees layout and no more than layout; leakage tells whose layout an output has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import feature_networks
from gan_transfer.metrics import structure

RNG = np.random.default_rng(0)


def maps(count=3, side=6):
    return jnp.asarray(RNG.normal(size=(count, side, side, 8)).clip(0), jnp.float32)  # as behind a ReLU


def shuffled(features):
    places = features.reshape(len(features), -1, features.shape[-1])
    return places[:, RNG.permutation(places.shape[1])].reshape(features.shape)


def test_the_distance_is_that_of_the_formula():
    a, b = maps(), maps()
    found = structure.distance(a, b)
    for value, x, y in zip(found, a, b, strict=True):
        x, y = (np.asarray(z, np.float64).reshape(-1, 8) for z in (x, y))
        x, y = (z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6) for z in (x, y))
        np.testing.assert_allclose(value, np.mean((x @ x.T - y @ y.T) ** 2), rtol=1e-5)
    for i in range(len(a)):  # no image depends on its neighbours in the batch
        np.testing.assert_allclose(structure.distance(a[i : i + 1], b[i : i + 1])[0], found[i], rtol=1e-5)


def test_what_is_where_counts_and_not_how_it_looks():
    a = maps()
    assert (structure.distance(a, a) == 0).all()
    recoloured = 3 * a[..., ::-1]  # other channels, stronger: the same places are alike
    np.testing.assert_allclose(structure.distance(a, recoloured), 0, atol=1e-9)
    assert (structure.distance(a, shuffled(a)) > 0.01).all()


def test_leakage_is_0_for_the_source_s_layout_and_1_for_the_target_s():
    source, target = maps(), maps()
    np.testing.assert_array_equal(structure.leakage(source, source, target), 0)
    np.testing.assert_array_equal(structure.leakage(source, target, target), 1)
    np.testing.assert_array_equal(structure.leakage(source, source, source), 0.5)
    # A copy of the target in other colours is a copy.
    np.testing.assert_allclose(structure.leakage(source, target[..., ::-1], target), 1, atol=1e-6)
    shares = [structure.leakage(source, source + t * (target - source), target) for t in np.linspace(0, 1, 5)]
    assert (np.diff(shares, axis=0) > 0).all()


def test_gradients_are_finite_where_features_are_all_0_and_where_all_agree():
    a, b = maps().at[:, 0, 0].set(0), maps()
    for output in (a, b):
        for loss in (
            lambda x: structure.distance(a, x).sum(),
            lambda x: structure.leakage(a, x, b).sum(),
            lambda x: structure.leakage(x, x, x).sum(),
        ):
            assert np.isfinite(jax.grad(loss)(output)).all()
    assert jnp.abs(jax.grad(lambda x: structure.distance(a, x).sum())(b)).max() > 0


@pytest.mark.parametrize('style', [lambda x: 255 - x, lambda x: x[..., ::-1]])
def test_drawings_by_vgg16(style):
    """A disc and its copy in other colours are laid out alike, a disc and a bar are not."""
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    shapes = [x**2 + (y - 0.2) ** 2 < 0.3, abs(x + 0.4) < 0.2]
    disc, bar = (np.where(s[..., None], [230, 60, 20], [20, 30, 90]).astype(np.uint8)[None] for s in shapes)
    features = feature_networks.feature_maps('vgg16', (structure.layer(64),))
    ((source,), (output,), (target,)) = (features(image) for image in (disc, style(disc), bar))
    assert 3 * structure.distance(source, output) < structure.distance(source, target)
    assert structure.leakage(source, output, target) < 0.25
