"""The game on features of a frozen network: it teaches generators, and nobody teaches the network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.importers import feature_weights
from gan_transfer.methods import METHODS, feature_game
from gan_transfer.methods.contract import NetworkSettings
from gan_transfer.methods.feature_game import FeatureGame
from gan_transfer.networks.feature_discriminator import FeatureDiscriminator
from tests import tiny

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
    loss, terms = game.generator_terms(networks, 'judge', images, sources=images, key=jax.random.key(0))
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


def _places(name, size):
    """How many places each judged layer of a frozen network has, for images of one size."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    module = feature_game.frozen_network(name, size)
    (_, features), _ = jax.eval_shape(module.init_with_output, jax.random.key(0), image)
    shapes = [features[layer].shape for layer in feature_game.LAYERS[name]]
    return [height * width for _, height, width, _ in shapes]


@pytest.mark.parametrize('name', feature_game.LAYERS)
def test_the_smallest_images_have_a_place_in_every_judged_layer(name):
    size = feature_game.SMALLEST[name]
    FeatureGame(name, 'lsgan').check(size)
    assert all(_places(name, size))
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


@pytest.mark.parametrize('method', ['cut', 'cyclegan', 'stargan_v2'])
def test_a_contrast_without_features_is_refused(method):
    with pytest.raises(ValueError, match=r'contrast_weight is 0\.5, and there is no feature_network'):
        tiny.make_experiment(method, method={'contrast_weight': 0.5})


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


class _Stubs(dict):
    """Networks as functions: generators give their images back, discriminators 0, those of features 2."""

    def __missing__(self, name):
        if name == feature_game.FEATURES:
            return lambda x: (x, dict.fromkeys(feature_game.LAYERS['alexnet'], x))
        if name.startswith('feature_discriminator'):
            return lambda *inputs: ((jnp.full((2, 1, 1, 1), 2.0),), {})
        if name.startswith('discriminator'):
            return lambda x, *domain: (jnp.zeros(2), {})
        if name.startswith('generator'):
            return lambda x, *style: (x, {'padded': x})
        return {
            'patch_projection': lambda *maps: (maps, {}),
            'style_encoder': lambda x, domain: (jnp.zeros((2, 4)), {}),
            'mapping_network': lambda latent, domain: (jnp.zeros((2, 4)), {}),
        }[name]


# The loss of a discriminator phase, lsgan: 1 + 0 of pixels and 1 + 4 of features, by the method's weight.
PLAYED = [
    ('cut', {'nce_layers': ('padded',)}, 0.5 * (1 + 5)),
    ('cyclegan', {'pool_size': 0}, 2 * 0.5 * (1 + 5)),
    ('stargan_v2', {'passes': ('reference',), 'reference_trains': 'all', 'r1_weight': 0.0}, 1 + 5),
]


def _played(name, options, side, feature_weight=1.0, networks=None, source=None, target=None, seed=0):
    """What a side's phase of a method with the game gives, at images of zeros of the domains 0 (source) and 1."""
    changes = {'adversarial': 'lsgan', 'feature_network': 'alexnet', 'feature_weight': feature_weight}
    method = METHODS[name](**options, **changes)
    images = jnp.zeros((2, 8, 8, 3))
    batch = dict.fromkeys(('source', 'target', 'target_2'), images)
    if source is not None:
        batch['source'] = source
    if target is not None:
        batch['target'] = target
    if 'latent' in options.get('passes', ()):
        batch |= dict.fromkeys(('latent', 'latent_2'), jnp.zeros((2, 4)))
    batch |= {'source_domain': jnp.zeros(2, jnp.int32), 'target_domain': jnp.ones(2, jnp.int32)}
    given = tiny.phase_input(_Stubs() if networks is None else networks, batch, key=jax.random.key(seed))
    forwards = {forward.name: forward.function(given) for forward in method.forwards()}
    (phase,) = (phase for phase in method.phases() if phase.side == side)
    return phase.loss(given._replace(forwards=forwards))


@pytest.mark.parametrize(('name', 'options', 'expected'), PLAYED)
def test_the_game_is_halved_where_the_method_s_own_is(name, options, expected):
    assert float(_played(name, options, 'discriminator').loss) == pytest.approx(expected)


@pytest.mark.parametrize(('name', 'options', '_'), PLAYED)
def test_the_generators_term_counts_by_its_weight(name, options, _):
    weighted, without = (_played(name, options, 'generator', weight) for weight in (3.0, 0.0))
    terms = [value for term, value in weighted.scalars.items() if term.startswith('feature_adversarial')]
    assert terms == [1.0] * (2 if name == 'cyclegan' else 1)
    assert float(weighted.loss - without.loss) == pytest.approx(3 * len(terms))


def test_moments_are_compared_with_the_target_images_in_all_layers_but_the_deepest():
    name, options, _ = PLAYED[-1]
    deepest = feature_game.LAYERS['alexnet'][-1]

    def features(x):
        return x, {layer: x + (5 if layer == deepest else 0) for layer in feature_game.LAYERS['alexnet']}

    images = jnp.zeros((2, 8, 8, 3)).at[:, ::2].set(1.0)
    networks = _Stubs({feature_game.FEATURES: features})
    weighted, without = (
        _played(name, {**options, 'moments_weight': weight}, 'generator', networks=networks, target=images)
        for weight in (3.0, 0.0)
    )
    assert 'moments' not in without.scalars
    # Outputs are zeros. In units of the root of 1/2: the mean is 1/2, and so is the deviation.
    expected = 2 * 0.5 / np.sqrt(0.5)
    np.testing.assert_allclose(weighted.scalars['moments'], expected, rtol=2e-3)
    np.testing.assert_allclose(weighted.loss - without.loss, 3 * expected, rtol=2e-3)


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


class _Moving(_Stubs):
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

    def played(weight):
        changes = {**options, 'contrast_weight': weight}
        return _played(
            name, changes, 'generator', networks=_Moving(), source=source, target=target, seed=seed
        )

    weighted, without = played(3.0), played(0.0)
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
    assert min(_places(name, size)[feature_game.CONTRASTED]) > 1
    if size > feature_game.SMALLEST[name]:
        assert min(_places(name, size - 1)[feature_game.CONTRASTED]) == 1


def test_sources_are_real_in_their_own_domain_and_translations_fake_in_the_target_s():
    name, options, _ = PLAYED[-1]
    by_domain = {'feature_discriminator': lambda domain, *inputs: ((10.0 * domain[:, None, None, None],), {})}
    terms = _played(name, options, 'discriminator', networks=_Stubs(by_domain)).scalars
    assert terms['feature_real'] == (0 - 1) ** 2
    assert terms['feature_fake'] == 10**2
