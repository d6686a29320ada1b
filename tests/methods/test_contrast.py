"""Contrast of places in features of a frozen network: what it tells apart, and which images it compares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.methods import feature_game
from gan_transfer.methods.feature_game import FeatureGame
from tests import tiny
from tests.methods.played import PLAYED, Stubs, places, played


def _contrast(outputs, sources, seed=0):
    return float(feature_game.contrast({'layer': outputs}, {'layer': sources}, jax.random.key(seed)))


def test_contrast_is_small_where_places_are_told_apart_whatever_the_channels_hold():
    sources = jax.random.normal(jax.random.key(0), (2, 8, 8, 64))
    chance = np.log(8 * 8)
    assert _contrast(sources, sources) < 0.1
    assert _contrast(sources * jnp.linspace(1, 4, 64) + 3, sources) < 0.1, 'other colours'
    assert _contrast(jnp.roll(sources, 1, axis=2), sources) > chance, 'lines one place beside'
    assert _contrast(jnp.zeros_like(sources), sources) == pytest.approx(chance), 'nothing to tell by'


def test_contrast_is_the_mean_over_layers_of_as_many_places_as_are_compared():
    large, small = jnp.zeros((1, 32, 32, 4)), jnp.zeros((1, 4, 4, 4))
    maps = {'large': large, 'small': small}
    found = feature_game.contrast(maps, maps, jax.random.key(0))
    expected = (np.log(feature_game.PLACES) + np.log(4 * 4)) / 2
    assert float(found) == pytest.approx(expected)
    noise = jax.random.normal(jax.random.key(7), (1, 32, 32, 4))
    drawn = [_contrast(noise, noise, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2], 'places are drawn by the key'


def test_contrast_reaches_the_output_and_leaves_the_source():
    outputs, sources = jax.random.normal(jax.random.key(0), (2, 1, 8, 8, 16))
    found = [
        jnp.abs(x).max()
        for x in jax.grad(
            lambda a, b: feature_game.contrast({'x': a}, {'x': b}, jax.random.key(0)), argnums=(0, 1)
        )(outputs, sources)
    ]
    assert found[0] > 0
    assert found[1] == 0
    flat = jax.grad(lambda a: feature_game.contrast({'x': a}, {'x': sources}, jax.random.key(0)))(
        jnp.zeros((1, 8, 8, 16))
    )
    assert jnp.isfinite(flat).all()


class _Moving(Stubs):
    """Generators move images up, each by another number of rows; what no contrast is to see are NaNs."""

    def __missing__(self, name):
        if name == feature_game.FEATURES:
            layers = feature_game.LAYERS['alexnet']
            seen = layers[feature_game.CONTRASTED]
            return lambda x: (x, {layer: x if layer in seen else x * jnp.nan for layer in layers})
        if name.startswith('generator'):
            rows = 2 if name == 'generator_b_to_a' else 1
            return lambda x, *style: (jnp.roll(x, rows, axis=1), {'padded': x})
        return super().__missing__(name)


CONTRASTED = [
    *((name, options) for name, options, _ in PLAYED),
    ('cut', {'nce_layers': ('padded',), 'mirror': True, 'identity': False}),
    ('stargan_v2', {'passes': ('latent',), 'reference_trains': 'all', 'r1_weight': 0.0}),
]


@pytest.mark.parametrize(('name', 'options'), CONTRASTED)
@pytest.mark.parametrize('seed', [0, 1])  # mirrored and not
def test_each_output_is_contrasted_with_its_own_source(name, options, seed):
    source, target = jax.random.normal(jax.random.key(5), (2, 2, 8, 8, 3))

    def contrasted(weight):
        changes = {**options, 'contrast_weight': weight}
        return played(name, changes, 'generator', networks=_Moving(), source=source, target=target, seed=seed)

    weighted, without = contrasted(3.0), contrasted(0.0)
    found = {term: value for term, value in weighted.scalars.items() if term.startswith('contrast')}
    # All places are compared, so that their order does not matter.
    moved = {rows: _contrast(jnp.roll(x, rows, axis=1), x) for rows, x in ((1, source), (2, target))}
    expected = {'contrast': moved[1]}
    if name == 'cyclegan':
        expected = {'contrast_a_to_b': moved[1], 'contrast_b_to_a': moved[2]}
    assert found.keys() == expected.keys()
    for term, value in expected.items():
        np.testing.assert_allclose(found[term], value, rtol=1e-4, err_msg=term)
    assert not any(term.startswith('contrast') for term in without.scalars)
    np.testing.assert_allclose(weighted.loss - without.loss, 3 * sum(expected.values()), rtol=1e-4)


def test_one_of_the_seeds_mirrors():
    assert sorted(bool(jax.random.bernoulli(jax.random.key(seed))) for seed in (0, 1)) == [False, True]


@pytest.mark.parametrize('name', feature_game.LAYERS)
def test_contrast_has_two_places_or_more_to_tell_apart(name):
    size = feature_game.SMALLEST_CONTRASTED[name]
    game = FeatureGame(name, 'lsgan', contrast_weight=0.5)
    game.check(size)
    with pytest.raises(
        ValueError, match=f'image_size is {size - 1}; feature_network={name!r}.* takes {size} and'
    ):
        game.check(size - 1)
    assert min(places(name, size)[feature_game.CONTRASTED]) > 1
    if size > feature_game.SMALLEST[name]:
        assert min(places(name, size - 1)[feature_game.CONTRASTED]) == 1


@pytest.mark.parametrize('method', ['cut', 'cyclegan', 'stargan_v2'])
def test_a_contrast_without_features_is_refused(method):
    with pytest.raises(ValueError, match=r'contrast_weight is 0\.5, and there is no feature_network'):
        tiny.make_experiment(method, method={'contrast_weight': 0.5})
