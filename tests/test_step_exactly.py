"""What a step does, to the number: averages, rates, penalties, clipping, rounding, pools, and the keys of samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import sharding
from gan_transfer.image_pool import ImagePool
from gan_transfer.methods import METHODS
from gan_transfer.optimizer import clip_by_norm
from gan_transfer.step import to_model_batch
from tests.tiny import (
    BATCH,
    assert_close,
    default_experiment,
    every_method,
    gradients_of,
    make_batch,
    make_experiment,
    only,
    phase_input,
    plain_gradient_step,
    plain_state,
)

# For tests of rounding: eight units of the patch projection often rest all, or all but one.
WELL_CONDITIONED = {'cut': {'projection_width': 128}}


@every_method
def test_averages_go_a_tenth_of_the_way_to_the_new_parameters(name):
    experiment = default_experiment(name)
    state = experiment.init(0)
    before = jax.device_get(state.average)
    assert set(before) == {key for key, network in experiment.networks.items() if network.averaged}
    state, _ = experiment.train_step(state, make_batch(experiment, name), jax.random.key(1))
    params = jax.device_get(state.params)
    for network, average in jax.device_get(state.average).items():
        jax.tree.map(
            lambda old, new, a: np.testing.assert_allclose(a, old + 0.1 * (new - old), rtol=1e-6, atol=1e-7),
            *(before[network], params[network], average),
        )
        moved = jax.tree.map(lambda old, new: np.abs(new - old).max(), before[network], params[network])
        assert max(jax.tree.leaves(moved)) > 1e-4, 'or the line above would be true of no step'


@every_method
def test_generators_gradients_in_bfloat16_point_where_those_in_float32_do(name):
    found = []
    for dtype in ('float32', 'bfloat16'):
        experiment = make_experiment(name, method=WELL_CONDITIONED.get(name, {}), compute_dtype=dtype)
        phase = [phase for phase in experiment.method.phases() if phase.side == 'generator'][-1]
        gradients, _ = gradients_of(experiment, name, method=only(experiment.method, phase))
        translating = [network for network in phase.networks if experiment.networks[network].averaged]
        leaves = jax.tree.leaves([gradients[network] for network in translating])
        found.append(np.concatenate([leaf.ravel() for leaf in leaves]))
    lengths = [np.linalg.norm(each) for each in found]
    assert found[0] @ found[1] > 0.95 * lengths[0] * lengths[1]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.25)


@pytest.mark.xdist_group('pix2pix')
def test_a_decaying_rate_is_that_of_the_images_seen():
    """Adam's first update is as long as the rate wants it, whatever the gradient."""
    decay = {'schedule': 'linear', 'decay_start_images': 200}  # to 0 at 1,000
    experiment = make_experiment('pix2pix', optimizer=decay)
    batch, norms = make_batch(experiment, 'pix2pix'), {}
    for images in (0, 200, 600, 1000):
        state = experiment.init(0)
        state = state.replace(step=state.step + images // BATCH)
        _, scalars = experiment.train_step(state, batch, jax.random.key(1))
        norms[images] = float(scalars['generator/update_norm'])
    assert norms[200] == pytest.approx(norms[0], rel=0.02)
    assert norms[600] == pytest.approx(norms[0] / 2, rel=0.02)
    assert norms[1000] == 0


@pytest.mark.parametrize('step', [2, 3])
def test_penalties_join_the_loss_by_their_weights_at_every_fourth_step(step):
    """What the penalties themselves are is tested in `test_losses.py`."""
    weights = {'r1_weight': 2.0, 'r2_weight': 3.0, 'gradient_penalty_weight': 5.0}
    method = METHODS['cut'](adversarial='wasserstein', regularize_every=4, **weights)
    given = phase_input({}, {'slot': jnp.arange(2)}, step=jnp.int32(step))
    real, fake = (jax.random.normal(jax.random.key(seed), (2, 4, 4, 3)) for seed in (1, 2))

    def loss(kernel):
        return method.discriminator_terms(
            given, lambda images: (kernel * images**2).sum((1, 2, 3)), real, fake, weight=0.5
        )

    def by_hand(kernel):
        terms = loss(kernel)[1]
        penalties = 2 * terms['r1'] + 3 * terms['r2'] + 5 * terms['gradient_penalty']
        return 0.5 * (terms['real'] + terms['fake']) + 4 * penalties

    kernel = jax.random.uniform(jax.random.key(3), (4, 4, 3))
    for name in ('r1', 'r2', 'gradient_penalty'):
        assert (float(loss(kernel)[1][name]) > 0) == (step == 3)
    np.testing.assert_allclose(loss(kernel)[0], by_hand(kernel), rtol=1e-5)
    gradient = jax.grad(lambda k: loss(k)[0])(kernel)
    np.testing.assert_allclose(gradient, jax.grad(by_hand)(kernel), rtol=1e-4, atol=1e-5)


@pytest.mark.xdist_group('pix2pix')
def test_gradients_are_clipped_by_the_norm_of_the_whole_network():
    """Also where every device holds a part of it."""
    experiment = make_experiment('pix2pix', sharding.make_mesh(fsdp=2))
    for limit in (0.01, 1e6):
        gradients, scalars = gradients_of(experiment, 'pix2pix', direction=clip_by_norm(limit))
        norms = {
            network: np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(tree)))
            for network, tree in gradients.items()
        }
        for network, norm in norms.items():
            found = float(scalars[f'{network}/gradient_norm'])
            assert found > 0.02, 'of the gradient as it was'
            assert norm == pytest.approx(min(limit, found), rel=1e-3)


@pytest.mark.xdist_group('pix2pix')
def test_a_sample_draws_the_same_numbers_on_any_device():
    """Dropout and the place on the line between real and generated images, at a depth that has dropout."""
    options = {'generator_depth': 6, 'gradient_penalty_weight': 1.0, 'dropout': 0.5}
    found = []
    for devices in (1, 4):
        mesh = sharding.make_mesh(jax.devices()[:devices])
        experiment = make_experiment('pix2pix', mesh, method=options, image_size=64)
        found.append(gradients_of(experiment, 'pix2pix', image_size=64))
    assert_close(found[1][0], found[0][0])
    for term, value in found[0][1].items():
        np.testing.assert_allclose(found[1][1][term], value, rtol=1e-3, atol=1e-5, err_msg=term)

    network = experiment.networks['generator'].module
    params = experiment.init(0).params['generator']
    images = jnp.broadcast_to(jax.random.uniform(jax.random.key(0), (64, 64, 3)), (2, 64, 64, 3))
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    both = network.apply({'params': params}, images, keys)[0]
    assert float(jnp.abs(both[0] - both[1]).max()) > 1e-6, 'each sample has noise of its own'


@pytest.mark.xdist_group('cyclegan')
def test_cyclegan_s_discriminators_judge_what_the_full_pool_gives():
    experiment = default_experiment('cyclegan')
    state, batch = experiment.init(0), make_batch(experiment, 'cyclegan')
    params = jax.tree.map(jnp.array, state.params)  # the step takes the state's
    old, size = {}, experiment.method.pool_size // BATCH
    for i, name in enumerate(('pool_a', 'pool_b')):
        shape = state.memory[name].images.shape
        assert shape[:2] == (BATCH, size)
        old[name] = np.asarray(jax.random.uniform(jax.random.key(i), shape, minval=-1))
        state.memory[name] = ImagePool(jnp.asarray(old[name]), jnp.full((BATCH,), size, jnp.int32))
    state, scalars = experiment.train_step(state, batch, jax.random.key(1))

    swaps = 0
    images = to_model_batch(batch)
    for domain, field, generator in (('b', 'source', 'a_to_b'), ('a', 'target', 'b_to_a')):
        module = experiment.networks[f'generator_{generator}'].module
        fresh = module.apply({'params': params[f'generator_{generator}']}, images[field])[0]
        before, after = old[f'pool_{domain}'], np.asarray(state.memory[f'pool_{domain}'].images)
        swapped = (before != after).any((2, 3, 4))
        assert (swapped.sum(1) <= 1).all()
        places = np.argmax(swapped, 1)
        rows = np.arange(BATCH)
        has = swapped.any(1)
        np.testing.assert_allclose(after[rows, places][has], fresh[has], atol=1e-5)
        judged = jnp.where(has[:, None, None, None], before[rows, places], fresh)
        discriminator = experiment.networks[f'discriminator_{domain}'].module
        score = discriminator.apply({'params': params[f'discriminator_{domain}']}, judged)[0].mean()
        assert float(scalars[f'discriminator/fake_score_{domain}']) == pytest.approx(
            float(score), rel=1e-4, abs=1e-6
        )
        swaps += has.sum()
    assert 0 < swaps < 2 * BATCH, 'about half of them'


@pytest.mark.xdist_group('cyclegan')
def test_each_place_of_the_batch_gets_its_own_memory_back_from_the_parts():
    experiment = default_experiment('cyclegan')
    method = only(experiment.method, experiment.method.phases()[-1])
    batch = make_batch(experiment, 'cyclegan')
    at_once, in_parts = (
        plain_gradient_step(experiment, method=method, accumulation=accumulation)(
            plain_state(experiment), batch, jax.random.key(1)
        )[0].memory
        for accumulation in (1, 2)
    )
    assert np.ptp(at_once['pool_a'].images[:, 0], axis=0).max() > 0.1, 'or any order would do'
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), in_parts, at_once)
