"""What CUT's own switches do: mirrored steps, the identity pass, the places of the patches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.cut import FAST
from gan_transfer import losses, sharding
from gan_transfer.methods import cut, patches
from tests.tiny import assert_close, gradients_of, make_experiment, phase_input


def test_fastcut_has_no_identity_pass_and_needs_no_target_for_its_contrast():
    gradients, scalars = gradients_of(make_experiment('cut', method=FAST), 'cut')
    assert 'generator/nce' in scalars
    assert 'generator/nce_identity' not in scalars
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize('options', [FAST, {'negatives_of_batch': True}], ids=['mirrored', 'all negatives'])
def test_steps_are_the_same_on_any_number_of_devices(options):
    expected, _ = gradients_of(make_experiment('cut', method=options), 'cut')
    mesh = sharding.make_mesh(jax.devices()[:2])
    other, _ = gradients_of(make_experiment('cut', mesh, method=options), 'cut')
    assert_close(other, expected)


def test_a_mirrored_step_sees_mirrored_images_and_compares_them_mirrored_back():
    """With a generator that mirrors along with its input, a mirrored step is no other than a plain one."""
    method = make_experiment('cut', method={**FAST, 'nce_layers': ('padded',), 'patches': 10**6}).method
    images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))

    def generator(x):
        return 1 - x, {'padded': x}  # pixel by pixel

    made = {}
    for seed in range(8):
        given = phase_input(
            {'generator': generator, 'patch_projection': lambda *maps: (maps, {})},
            {'source': images, 'target': images},
            key=jax.random.key(seed),
        )
        translated = method._translated(given)
        mirrored = bool(translated['mirrored'])
        plain = 1 - images
        np.testing.assert_allclose(translated['images'], plain[:, :, ::-1] if mirrored else plain, atol=1e-6)
        made[mirrored] = method._patch_nce(given, translated['images'], translated)
    assert set(made) == {False, True}
    np.testing.assert_allclose(made[True], made[False], rtol=1e-4)


def test_patches_are_at_random_places_without_repetition():
    places = patches.random_places(jax.random.key(0), 100, 30)
    assert len(set(places.tolist())) == 30
    assert places.tolist() != patches.random_places(jax.random.key(1), 100, 30).tolist()
    assert sorted(patches.random_places(jax.random.key(0), 20, 30).tolist()) == list(range(20))


def test_each_layer_is_compared_at_places_of_its_own():
    method = cut.Cut(nce_layers=('padded', 'down_0'), patches=16, identity=False)
    places = jnp.arange(64.0).reshape(1, 8, 8, 1)
    seen = []

    def projection(*maps):
        seen.append(maps)
        return maps, {}

    generator = lambda x: (x, dict.fromkeys(method.nce_layers, places))  # noqa: E731
    given = phase_input({'generator': generator, 'patch_projection': projection}, {'source': places})
    translated = method._translated(given)
    method._patch_nce(given, translated['images'], translated)
    queries, keys = seen
    np.testing.assert_array_equal(queries, keys)
    assert set(queries[0].ravel().tolist()) != set(queries[1].ravel().tolist())


def test_patch_nce_is_smallest_where_every_query_is_its_own_key():
    keys = jnp.eye(6)[None]
    right = losses.patch_nce(keys, keys)
    wrong = losses.patch_nce(jnp.roll(keys, 1, axis=1), keys)
    assert float(right[0]) < 1e-4
    assert float(wrong[0]) > 10
    gradient = jax.grad(lambda k: losses.patch_nce(keys, k).sum())(keys * 0.5)
    np.testing.assert_array_equal(gradient, 0, err_msg='keys are constants')


def _unit(seed, shape):
    x = jax.random.normal(jax.random.key(seed), shape)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize('temperature', [0.07, 2.0])
@pytest.mark.parametrize('of_batch', [False, True])
def test_patch_nce_is_the_original_s_sum_of_exponentials(temperature, of_batch):
    queries, keys = _unit(0, (3, 5, 8)), _unit(1, (3, 5, 8))
    candidates = keys.reshape(15, 8) if of_batch else None
    found = losses.patch_nce(queries, keys, temperature, candidates)
    x, y = np.asarray(queries, np.float64), np.asarray(keys, np.float64)
    for image in range(3):
        there = y.reshape(15, 8) if of_batch else y[image]
        own = np.arange(5) + (5 * image if of_batch else 0)
        similarities = x[image] @ there.T
        positive = similarities[np.arange(5), own]
        similarities[np.arange(5), own] = -10
        total = np.exp(positive / temperature) + np.exp(similarities / temperature).sum(1)
        expected = (np.log(total) - positive / temperature).mean()
        np.testing.assert_allclose(found[image], expected, rtol=1e-5)


def test_sources_and_targets_are_no_negatives_of_each_other():
    method = make_experiment('cut', method={'negatives_of_batch': True}).method
    queries, keys = _unit(0, (4, 5, 8)), _unit(1, (4, 5, 8))
    given = phase_input({}, {})
    found = method._contrast(given, queries, keys)
    changed = method._contrast(given, queries, keys.at[3].set(_unit(2, (5, 8))))
    np.testing.assert_array_equal(found[:2], changed[:2])
    assert (found[2:] != changed[2:]).all()


def test_every_named_feature_can_be_compared():
    for antialias in (True, False):
        layers = ('input', 'input_activated', 'down_0', 'down_1_activated', 'block_0')
        layers += ('down_0_blurred', 'down_1_blurred') if antialias else ()
        options = {'nce_layers': layers, 'antialias': antialias}
        _, scalars = gradients_of(make_experiment('cut', method=options), 'cut')
        assert np.isfinite(scalars['generator/nce'])
    with pytest.raises(ValueError, match="nce_layers has 'down_0_blurred'; choose from padded, input"):
        make_experiment('cut', method={'nce_layers': ('down_0_blurred',), 'antialias': False})


def test_the_adversarial_term_has_a_weight():
    expected, _ = gradients_of(
        make_experiment('cut', method={'adversarial_weight': 0.0, 'nce_weight': 0.0}), 'cut'
    )
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(expected['generator']))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'nce_layers': ('block_9',)},
            "nce_layers has 'block_9'; choose from padded, input, input_activated, down_0",
        ),
        ({'nce_layers': ()}, 'nce_layers is empty'),
        ({'patches': 1}, 'patches is 1; contrast needs 2'),
        ({'temperature': 0.0}, 'temperature is 0.0; it must be above 0'),
    ],
)
def test_wrong_values_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_experiment('cut', method=options)
