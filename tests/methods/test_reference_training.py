"""Whole training iterations against the papers' own code: every loss, and the weights after each iteration."""

import jax
import jax.numpy as jnp
import numpy as np

from configs import common
from gan_transfer import experiment as experiment_lib
from gan_transfer import sharding
from gan_transfer.importers import cut, cyclegan, layout, stargan_v2
from gan_transfer.state import copy
from tests.reference import cases


def _config(method, image_size, batch_size, optimizer, average_decay=0.0):
    config = common.get_config()
    config.method = method
    config.image_size, config.batch_size = image_size, batch_size
    config.optimizer.update(optimizer)
    config.average_decay = average_decay
    return config


def _run(config, domains, params, batches):
    """Returns the scalars of every step, and digests of parameters and averages before the first and after each."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    made = experiment_lib.make_experiment(config, domains=domains, mesh=mesh)
    state = made.init(0)
    assert jax.tree.map(jnp.shape, state.params) == jax.tree.map(jnp.shape, params)
    sides = {
        side: getattr(state, side).replace(params={n: params[n] for n in getattr(state, side).params})
        for side in ('generator', 'discriminator')
    }
    state = state.replace(**sides, average={name: copy(params[name]) for name in state.average})
    state = jax.device_put(state, jax.tree.map(lambda x: x.sharding, made.abstract_state))
    scalars = []
    digests = [{name: _digest(tree) for name, tree in state.params.items()}]
    averages = [{name: _digest(tree) for name, tree in state.average.items()}]
    for batch in batches:
        state, values = made.train_step(state, batch, jax.random.key(0))
        scalars.append({name: float(value) for name, value in values.items()})
        digests.append({name: _digest(tree) for name, tree in state.params.items()})
        averages.append({name: _digest(tree) for name, tree in state.average.items()})
    return scalars, digests, averages


def _params(family, weights):
    """Returns the parameters of the networks that `weights` holds by our names."""
    learnt = {name: layout.without_constants(arrays)[0] for name, arrays in weights.items()}
    return {name: layout.load(family.ENTRIES[name](arrays), arrays) for name, arrays in learnt.items()}


def _digest(tree):
    return sum(float(np.abs(np.asarray(x, np.float64)).sum()) for x in jax.tree.leaves(tree))


def _compare(case, losses, digests, averages, later=1e-3):
    np.testing.assert_allclose(losses[0], case.arrays['losses'][0], rtol=1e-3)
    np.testing.assert_allclose(losses, case.arrays['losses'], rtol=later)
    _compare_digests(digests, case.arrays['digest'])
    if averages is not None:
        _compare_digests(averages, case.arrays['average_digest'])


def _compare_digests(digests, expected):
    """Compares how far weights went, too: in a few iterations that is a part in 10^5 of their sum."""
    first, *digests = np.asarray(digests)
    np.testing.assert_allclose(digests, expected, rtol=1e-4)
    error, moved = np.abs(digests - expected), np.abs(expected - first)
    assert (error.max(0) < 0.25 * moved.max(0)).all(), (error, moved)


def test_cyclegan_training_is_the_original_s():
    case = cases.load('cyclegan_training')
    names = case.about['networks_in_digest_order']
    weights = {cyclegan.NETWORKS[name]: case.weights(prefix=f'{name}.') for name in names}
    options, params = cyclegan.options(weights), _params(cyclegan, weights)
    steps, batch_size, _, size, _ = case.arrays['A'].shape
    config = _config(
        {'name': 'cyclegan', 'pool_size': 0, **options},
        size,
        batch_size,
        {'learning_rate': 2e-4, 'b1': 0.5, 'b2': 0.999},
    )
    batches = [{'source': case.image('A')[i], 'target': case.image('B')[i]} for i in range(steps)]
    scalars, digests, _ = _run(config, 2, params, batches)
    terms = {
        'D_A': lambda s: 0.5 * (s['discriminator/real_b'] + s['discriminator/fake_b']),
        'G_A': lambda s: s['generator/adversarial_a_to_b'],
        'cycle_A': lambda s: 10 * s['generator/cycle_a_to_b'],
        'idt_A': lambda s: 5 * s['generator/identity_a_to_b'],
        'D_B': lambda s: 0.5 * (s['discriminator/real_a'] + s['discriminator/fake_a']),
        'G_B': lambda s: s['generator/adversarial_b_to_a'],
        'cycle_B': lambda s: 10 * s['generator/cycle_b_to_a'],
        'idt_B': lambda s: 5 * s['generator/identity_b_to_a'],
    }
    losses = [[terms[name](s) for name in case.about['losses']] for s in scalars]
    order = [cyclegan.NETWORKS[name] for name in names]
    _compare(case, losses, [[d[name] for name in order] for d in digests], None)


def test_cut_training_is_the_original_s():
    case = cases.load('cut_training')
    names = case.about['networks_in_digest_order']
    weights = {cut.NETWORKS[name]: case.weights(prefix=f'{name}.') for name in names}
    learnt = {name: layout.without_constants(arrays)[0] for name, arrays in weights.items()}
    steps, batch_size, _, size, _ = case.arrays['A'].shape
    layers = ('padded', 'down_0', 'down_1', 'down_1_activated', 'block_0')
    config = _config(
        {'name': 'cut', 'nce_layers': layers, 'patches': size**4, **cut.options(learnt)},
        size,
        batch_size,
        {'learning_rate': 2e-4, 'b1': 0.5, 'b2': 0.999},
    )
    batches = [{'source': case.image('A')[i], 'target': case.image('B')[i]} for i in range(steps)]
    scalars, digests, _ = _run(config, 2, _params(cut, weights), batches)
    terms = {
        'G_GAN': lambda s: s['generator/adversarial'],
        'D_real': lambda s: s['discriminator/real'],
        'D_fake': lambda s: s['discriminator/fake'],
        'NCE': lambda s: s['generator/nce'],
        'NCE_Y': lambda s: s['generator/nce_identity'],
    }
    terms['G'] = lambda s: terms['G_GAN'](s) + (terms['NCE'](s) + terms['NCE_Y'](s)) / 2
    losses = [[terms[name](s) for name in case.about['losses']] for s in scalars]
    _compare(case, losses, [[d[cut.NETWORKS[name]] for name in names] for d in digests], None)


def test_stargan_v2_training_is_the_original_s():
    case = cases.load('stargan_v2_training')
    weights = {name: case.weights(prefix=f'{name}.') for name in stargan_v2.ENTRIES}
    options = stargan_v2.options(weights)
    size, domains = options.pop('image_size'), options.pop('domains')
    params = _params(stargan_v2, weights)
    steps, batch_size = case.arrays['y_org'].shape
    config = _config(
        {'name': 'stargan_v2', 'diversity_images': 100 * batch_size, **options},
        size,
        batch_size,
        {
            'learning_rate': 1e-4,
            'b1': 0.0,
            'b2': 0.99,
            'weight_decay': 1e-4,
            'networks': {'mapping_network': {'learning_rate': 1e-6}},
        },
        average_decay=0.999,
    )
    fields = {'source_domain': 'y_org', 'target_domain': 'y_trg', 'latent': 'z', 'latent_2': 'z2'}
    images = {'source': 'x', 'target': 'ref', 'target_2': 'ref2'}
    batches = [
        {ours: case.arrays[name][i] for ours, name in fields.items()}
        | {ours: case.image(name)[i] for ours, name in images.items()}
        for i in range(steps)
    ]
    batches = [{k: np.asarray(v, np.int32) if 'domain' in k else v for k, v in b.items()} for b in batches]
    scalars, digests, averages = _run(config, domains, params, batches)
    passes = {'latent': 'latent', 'ref': 'reference'}
    terms = {'adv': 'adversarial', 'sty': 'style', 'ds': 'diversity', 'cyc': 'cycle'}

    def value(s, name):
        which, player, term = name.split('_')
        side = {'D': 'discriminator', 'G': 'generator'}[player]
        return s[f'{side}_{passes[which]}/{terms.get(term, term)}']

    losses = [[value(s, name) for name in case.about['losses']] for s in scalars]
    _compare(
        case,
        losses,
        [[d[name] for name in case.about['networks_in_digest_order']] for d in digests],
        [[a[name] for name in case.about['averaged_networks_in_order']] for a in averages],
        # Adam without momentum moves every weight by the sign of its gradient at first, so rounding grows fast here:
        # in float64, first weights changed by one part in 10^7 move the style loss of iteration 3 by 2.6 %.
        later=5e-2,
    )
