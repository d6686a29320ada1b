"""The style distance sees which features there are, and not where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.metrics import structure, style

RNG = np.random.default_rng(0)


def layers(count=3):
    return [jnp.asarray(RNG.normal(size=(count, s, s, c)).clip(0), jnp.float32) for s, c in ((8, 4), (4, 6))]


def test_the_distance_is_that_of_the_formula():
    a, b = layers(), layers()
    found = style.distance(a, b)
    for i in range(3):
        per_layer = []
        for x, y in zip(a, b, strict=True):
            x, y = (np.asarray(z[i], np.float64).reshape(-1, z.shape[-1]) for z in (x, y))
            per_layer.append(np.mean((x.T @ x - y.T @ y) ** 2) / x.size**2)
        np.testing.assert_allclose(found[i], np.mean(per_layer), rtol=1e-5)
        alone = style.distance([x[i : i + 1] for x in a], [x[i : i + 1] for x in b])
        np.testing.assert_allclose(alone[0], found[i], rtol=1e-5)


def test_another_layout_is_the_same_style():
    a = layers()
    assert (style.distance(a, a) == 0).all()
    order = RNG.permutation(64)
    shuffled = a[0].reshape(3, 64, 4)[:, order].reshape(a[0].shape)
    np.testing.assert_allclose(style.distance(a[:1], [shuffled]), 0, atol=1e-12)
    assert (structure.distance(a[0], shuffled) > 0.01).all()
    assert (style.distance(a, layers()) > 1e-6).all()


def test_images_of_different_sizes_compare():
    a = layers()
    tiled = [jnp.tile(x, (1, 2, 3, 1)) for x in a]
    np.testing.assert_allclose(style.distance(a, tiled), 0, atol=1e-12)


def test_differentiable():
    a, b = layers(), layers()
    gradients = jax.grad(lambda x: style.distance(x, b).sum())(a)
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients)


def test_other_layers_are_refused():
    a = layers()
    with pytest.raises(ValueError, match='got 2 and 1'):
        style.distance(a, a[:1])
    with pytest.raises(ValueError, match='got 0 and 0'):
        style.distance([], [])
