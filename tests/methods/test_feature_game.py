"""The game on features of a frozen network: it teaches generators, and nobody teaches the network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.importers import feature_weights
from gan_transfer.methods import feature_game
from gan_transfer.methods.contract import NetworkSettings
from gan_transfer.methods.feature_game import FeatureGame
from gan_transfer.networks.feature_discriminator import FeatureDiscriminator
from tests import tiny
from tests.methods.played import PLAYED, Stubs, places, played

GAMES = [
    ('cut', 'alexnet', ('feature_discriminator',)),
    ('cut', 'efficientnet_lite0', ('feature_discriminator',)),
    ('cyclegan', 'alexnet', ('feature_discriminator_a', 'feature_discriminator_b')),
]
GAMES = [pytest.param(*game, marks=pytest.mark.xdist_group(game[0])) for game in GAMES]


@pytest.mark.parametrize(('name', 'network', 'discriminators'), GAMES)
def test_the_game_trains_its_discriminators_and_the_generators_and_leaves_the_network(
    name, network, discriminators
):
    plain = tiny.default_experiment(name)
    experiment = tiny.make_experiment(name, method={'feature_network': network, 'feature_weight': 5.0})
    added = set(experiment.networks) - set(plain.networks)
    assert added == {feature_game.FEATURES, *discriminators}
    first = experiment.init(0)
    loaded = feature_weights.pretrained(network)
    jax.tree.map(np.testing.assert_array_equal, first.params[feature_game.FEATURES], loaded)
    assert feature_game.FEATURES not in first.discriminator.optimizer_state

    before = jax.device_get(first.params)
    state, scalars = experiment.train_step(first, tiny.make_batch(experiment, name), jax.random.key(1))
    after = jax.device_get(state.params)
    assert all(np.isfinite(value) for value in scalars.values())
    jax.tree.map(np.testing.assert_array_equal, before[feature_game.FEATURES], after[feature_game.FEATURES])
    for each in discriminators:
        changed = jax.tree.map(lambda a, b: (a != b).any(), before[each], after[each])
        assert all(jax.tree.leaves(changed)), each
    untaught, _ = plain.train_step(plain.init(0), tiny.make_batch(plain, name), jax.random.key(1))
    for each, params in jax.device_get(untaught.generator.params).items():
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max() > 1e-6, params, after[each])
        assert any(jax.tree.leaves(moved)) == each.startswith('generator'), each


@pytest.mark.xdist_group('stargan_v2')
def test_the_game_has_a_logit_for_each_domain():
    name, options = 'stargan_v2', {'feature_network': 'alexnet'}
    experiment = tiny.make_experiment(name, method=options)
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tiny.make_batch(experiment, name))
    _, scalars = jax.eval_shape(experiment.train_step, experiment.abstract_state, batch, jax.random.key(0))
    for player in ('discriminator', 'generator'):
        assert any(term.startswith(f'{player}_reference/feature_') for term in scalars)
    kernel = experiment.abstract_state.params['feature_discriminator']['output_0']['kernel']
    assert kernel.shape[-1] == tiny.DOMAINS[name]


def test_every_layer_counts_the_same_however_many_places_it_has():
    images = jnp.zeros((2, 8, 8, 3))
    textures, parts = jnp.ones((2, 8, 8, 1)), jnp.zeros((2, 1, 1, 1))
    networks = {
        feature_game.FEATURES: lambda x: (x, dict.fromkeys(feature_game.LAYERS['alexnet'], x)),
        'judge': lambda *features: ((textures, parts), {}),
    }
    game = FeatureGame('alexnet', 'lsgan')
    loss, terms = game.discriminator_terms(networks, 'judge', images, images)
    assert terms['feature_fake'] == terms['feature_real'] == 0.5
    assert loss == 1
    assert terms['feature_fake_sign'] == 0  # all textures are on the side of real images, no parts
    loss, terms = game.generator_terms(
        *(networks, 'judge', images), shown=images, sources=images, key=jax.random.key(0)
    )
    assert loss == terms['feature_adversarial'] == 0.5


def test_logits_are_float32_whatever_the_discriminator_computes_in():
    judge, feature = FeatureDiscriminator(dtype=jnp.bfloat16), jnp.zeros((2, 8, 8, 3))
    (logits, _), _ = jax.eval_shape(judge.init_with_output, jax.random.key(0), feature, feature[:, ::2, ::2])
    assert [x.shape for x in logits] == [(2, 8, 8, 1), (2, 4, 4, 1)]
    assert all(x.dtype == jnp.float32 for x in logits)


@pytest.mark.parametrize('name', feature_game.LAYERS)
def test_the_frozen_network_computes_in_float32_whatever_the_others_do(name):
    settings = NetworkSettings(32, 2, jnp.bfloat16, rematerialize=False)
    made = FeatureGame(name, 'lsgan').networks(settings, ('judge',))
    assert made['judge'].module.dtype == jnp.bfloat16
    frozen = made[feature_game.FEATURES]
    program = str(
        jax.make_jaxpr(frozen.module.init_with_output)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    )
    assert 'f32[' in program
    assert 'bf16[' not in program


@pytest.mark.parametrize('name', feature_game.LAYERS)
def test_the_smallest_images_have_a_place_in_every_judged_layer(name):
    size = feature_game.SMALLEST[name]
    FeatureGame(name, 'lsgan').check(size)
    assert all(places(name, size))
    with pytest.raises(ValueError, match=f'image_size is {size - 4}; feature_network={name!r} takes {size}'):
        FeatureGame(name, 'lsgan').check(size - 4)


def test_a_critic_of_features_that_nothing_bounds_is_refused():
    with pytest.raises(ValueError, match="adversarial is 'wasserstein' and feature_network 'vgg16'"):
        FeatureGame('vgg16', 'wasserstein').check(64)


@pytest.mark.parametrize('method', ['cut', 'cyclegan', 'stargan_v2'])
def test_an_unknown_network_is_refused(method):
    with pytest.raises(
        ValueError,
        match="feature_network 'resnet'; choose one of alexnet, efficientnet_lite0, vgg16, or none",
    ):
        tiny.make_experiment(method, method={'feature_network': 'resnet'})


def test_each_image_is_judged_by_the_logit_of_its_own_domain():
    judge, feature = FeatureDiscriminator(domains=3), jax.random.normal(jax.random.key(0), (3, 8, 8, 3))
    domain = jnp.array([2, 0, 1])
    variables = judge.init(jax.random.key(1), domain, feature)
    alone = FeatureDiscriminator(domains=1)
    for i, own in enumerate([2, 0, 1]):
        output = jax.tree.map(lambda x, own=own: x[..., own : own + 1], variables['params']['output_0'])
        params = {**variables['params'], 'output_0': output}
        np.testing.assert_allclose(
            judge.apply(variables, domain, feature)[0][0][i],
            alone.apply({'params': params}, feature[i : i + 1])[0][0][0],
            atol=1e-6,
        )
    gradient = jax.make_jaxpr(jax.grad(lambda v: judge.apply(v, domain, feature)[0][0].sum()))(variables)
    assert 'scatter' not in str(gradient), 'which a TPU works through sample by sample'


@pytest.mark.parametrize(('name', 'options', 'expected'), PLAYED)
def test_the_game_is_halved_where_the_method_s_own_is(name, options, expected):
    assert float(played(name, options, 'discriminator').loss) == pytest.approx(expected)


@pytest.mark.parametrize(('name', 'options', '_'), PLAYED)
def test_the_generators_term_counts_by_its_weight(name, options, _):
    weighted, without = (played(name, options, 'generator', weight) for weight in (3.0, 0.0))
    terms = [value for term, value in weighted.scalars.items() if term.startswith('feature_adversarial')]
    assert terms == [1.0] * (2 if name == 'cyclegan' else 1)
    assert float(weighted.loss - without.loss) == pytest.approx(3 * len(terms))


def test_moments_are_compared_with_the_target_images_in_all_layers_but_the_deepest():
    name, options, _ = PLAYED[-1]
    deepest = feature_game.LAYERS['alexnet'][-1]

    def features(x):
        return x, {layer: x + (5 if layer == deepest else 0) for layer in feature_game.LAYERS['alexnet']}

    images = jnp.zeros((2, 8, 8, 3)).at[:, ::2].set(1.0)
    networks = Stubs({feature_game.FEATURES: features})
    weighted, without = (
        played(name, {**options, 'moments_weight': weight}, 'generator', networks=networks, target=images)
        for weight in (3.0, 0.0)
    )
    assert 'moments' not in without.scalars
    # Outputs are zeros. In units of the root of 1/2: the mean is 1/2, and so is the deviation.
    expected = 2 * 0.5 / np.sqrt(0.5)
    np.testing.assert_allclose(weighted.scalars['moments'], expected, rtol=2e-3)
    np.testing.assert_allclose(weighted.loss - without.loss, 3 * expected, rtol=2e-3)


def test_sources_are_real_in_their_own_domain_and_translations_fake_in_the_target_s():
    name, options, _ = PLAYED[-1]
    by_domain = {'feature_discriminator': lambda domain, *inputs: ((10.0 * domain[:, None, None, None],), {})}
    terms = played(name, options, 'discriminator', networks=Stubs(by_domain)).scalars
    assert terms['feature_real'] == (0 - 1) ** 2
    assert terms['feature_fake'] == 10**2


def test_the_judge_is_shown_other_images_than_those_that_are_compared():
    """Augmented ones; contrast and moments are of the images as they are."""
    images, shown = jnp.zeros((1, 8, 8, 3)), jnp.ones((1, 8, 8, 3))
    seen, judged = [], []

    def frozen(x):
        seen.append(x)
        return x, dict.fromkeys(feature_game.LAYERS['alexnet'], x)

    def judge(*features):
        judged.extend(features)
        return tuple(x.mean(-1, keepdims=True) for x in features), {}

    networks = {feature_game.FEATURES: frozen, 'judge': judge}
    options = {'shown': shown, 'sources': images, 'targets': images, 'key': jax.random.key(0)}
    plain, compared = FeatureGame('alexnet', 'lsgan'), FeatureGame('alexnet', 'lsgan', 1.0, 1.0, 1.0)
    plain.generator_terms(networks, 'judge', images, **options)
    assert [bool((x == shown).all()) for x in seen] == [True]
    _, terms = compared.generator_terms(networks, 'judge', images, **options)
    assert terms['moments'] == 0
    assert all(bool((x == shown).all()) for x in judged)
