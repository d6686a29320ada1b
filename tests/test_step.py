"""The table that every method passes: what a step must do, whatever the losses are.

A new method adds its tiny hyper-parameters to `tiny.py`, a line to the tables here, and gets every test.
"""

import hashlib
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import experiment as experiment_lib
from gan_transfer import sharding
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.fingerprint import fingerprints
from gan_transfer.methods import METHODS
from tests.tiny import (
    BATCH,
    DOMAINS,
    SIZE,
    TINY,
    assert_close,
    default_experiment,
    every_method,
    expected_gradients,
    gradients_of,
    make_batch,
    make_config,
    make_experiment,
    only,
    plain_gradient_step,
    plain_state,
)

# What a step computes first with the discriminator's parameters.
FIRST_TERM = {
    'cut': 'discriminator/real',
    'cyclegan': 'generator/adversarial_a_to_b',
    'pix2pix': 'discriminator/real',
    'stargan_v2': 'discriminator_latent/real',
}
# A term that falls while a few steps see one batch over and over.
FALLING = {'cut': '/nce', 'cyclegan': '/cycle', 'pix2pix': '/l1', 'stargan_v2': '/cycle'}
# Their statistics are those of a microbatch: gradients depend on `accumulation`.
BATCH_STATISTICS = ('pix2pix',)
# Millions of operations and of bytes that one compiled step costs, as XLA counts them.
COST = {'cut': (262, 149), 'cyclegan': (326, 177), 'pix2pix': (30.8, 38.1), 'stargan_v2': (277, 206)}
# Parameters whose gradient is zero in truth: biases just before an instance norm or a batch norm.
_RESNET = r'generator.*/(input|down_\d|up_\d|convolution_\d)/bias$|discriminator\w*/layer_[1-9]/bias$'
SILENT = {
    'cut': _RESNET,
    'cyclegan': _RESNET,
    'pix2pix': r'generator/(down|up)_\d/bias$|discriminator/layer_[1-9]/bias$',
    'stargan_v2': r'generator/(from_rgb|.*/convolution_\d)/bias$',
}


def test_every_method_is_in_the_table():
    tables = {'TINY': TINY, 'DOMAINS': DOMAINS, 'FIRST_TERM': FIRST_TERM, 'FALLING': FALLING, 'COST': COST}
    for table, entries in (tables | {'SILENT': SILENT}).items():
        assert set(entries) == set(METHODS), f'{table} has not the methods that there are'


@every_method
def test_each_phase_changes_its_networks_and_no_other(name):
    experiment = default_experiment(name)
    for phase in experiment.method.phases():
        step = plain_gradient_step(experiment, method=only(experiment.method, phase))
        state = plain_state(experiment)
        before = jax.tree.map(np.array, state.params)  # a copy: the step takes the state's memory
        state, _ = step(state, make_batch(experiment, name), jax.random.key(1))
        after = jax.device_get(state.params)
        changed = {
            network
            for network in before
            if any(
                (x != y).any()
                for x, y in zip(*map(jax.tree.leaves, (before[network], after[network])), strict=True)
            )
        }
        assert changed == set(phase.networks), phase.name


@every_method
def test_every_parameter_has_a_finite_gradient(name):
    gradients, scalars = expected_gradients(name)
    for network, tree in gradients.items():
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            parameter = f'{network}/{jax.tree_util.keystr(path, simple=True, separator="/")}'
            assert np.isfinite(leaf).all(), parameter
            assert re.search(SILENT[name], parameter) or np.abs(leaf).max() > 1e-6 * largest, (
                f'{parameter} has no gradient; a bias before a norm has its place in SILENT'
            )
    assert all(np.isfinite(value) for value in scalars.values())


@every_method
@pytest.mark.parametrize(
    ('layout', 'accumulation', 'rematerialize'), [({'fsdp': 2}, 1, False), ({'spatial': 2}, 2, True)]
)
def test_gradients_do_not_depend_on_devices_accumulation_or_rematerialization(
    name, layout, accumulation, rematerialize
):
    """On four devices: `data` is the other half."""
    accumulation = 1 if name in BATCH_STATISTICS else accumulation
    expected, expected_scalars = expected_gradients(name)
    other = make_experiment(name, sharding.make_mesh(**layout), rematerialize=rematerialize)
    gradients, scalars = gradients_of(other, name, accumulation=accumulation)
    assert_close(gradients, expected)
    for term, value in expected_scalars.items():
        np.testing.assert_allclose(scalars[term], value, rtol=1e-3, atol=1e-5, err_msg=term)


@every_method
def test_steps_compile_once_and_learn(name):
    experiment = default_experiment(name)
    state, batch = experiment.init(0), make_batch(experiment, name)
    history = []
    for _ in range(12):
        state, scalars = experiment.train_step(state, batch, jax.random.key(1))
        history.append(jax.device_get(scalars))
    assert experiment.train_step._cache_size() == 1
    assert int(state.step) == 12
    assert int(state.fault.term) == -1
    falling = [term for term in history[0] if FALLING[name] in term]
    assert falling
    for term in falling:
        assert history[-1][term] < history[0][term], term


@every_method
def test_resuming_from_a_checkpoint_changes_no_bit(name, tmp_path):
    """Pools, averages, optimizers, keys: what the next steps depend on is in the checkpoint, or follows the step."""
    experiment = default_experiment(name)

    def steps(state, first, last):
        for step in range(first, last):
            state, scalars = experiment.train_step(
                state, make_batch(experiment, name, seed=step), jax.random.key(1)
            )
        return state, jax.device_get(scalars)

    state, _ = steps(experiment.init(0), 0, 2)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(2, state, {})
    expected, expected_scalars = steps(state, 2, 4)
    checkpoints.wait()
    resumed, scalars = steps(checkpoints.restore(2, experiment.abstract_state), 2, 4)
    checkpoints.close()
    assert fingerprints(resumed) == fingerprints(expected)
    assert scalars == expected_scalars


@every_method
def test_a_step_costs_what_it_did(name):
    """Another pass through a network, or one that is not shared, shows here; where a change saves, lower COST."""
    experiment = default_experiment(name)
    batch = make_batch(experiment, name)
    cost = experiment.train_step.lower(experiment.init(0), batch, jax.random.key(1)).compile().cost_analysis()
    found = (cost['flops'] / 1e6, cost['bytes accessed'] / 1e6)
    # Versions of the compiler differ by a little in what they fuse.
    assert found[0] == pytest.approx(COST[name][0], rel=0.04), f'{found} are not {COST[name]}'
    assert found[1] == pytest.approx(COST[name][1], rel=0.15), f'{found} are not {COST[name]}'


@every_method
def test_bfloat16_computes_near_float32_and_keeps_float32_parameters(name):
    _, expected = expected_gradients(name)
    experiment = make_experiment(name, compute_dtype='bfloat16')
    shapes, terms = jax.eval_shape(
        experiment.train_step, experiment.abstract_state, make_batch(experiment, name), jax.random.key(1)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves((shapes.params, shapes.average))} == {np.dtype('float32')}
    assert {term: x.dtype for term, x in terms.items() if x.dtype != np.dtype('float32')} == {}
    _, scalars = gradients_of(experiment, name)
    first = experiment.method.phases()[0].name + '/'  # later phases see parameters that the steps drove apart
    for term in (t for t in expected if t.startswith(first) and 'sign' not in t):
        np.testing.assert_allclose(scalars[term], expected[term], rtol=0.1, atol=0.02, err_msg=term)


@every_method
def test_translation_is_an_image_and_deterministic(name):
    experiment = default_experiment(name)
    params, batch = experiment.init(0).translate_params, make_batch(experiment, name)
    fields = {'target_domain': jnp.ones(BATCH, jnp.int32)}
    fields |= {f: batch[f] for f in experiment.method.translate_fields if f != 'target_domain'}
    first, second = (experiment.translate(params, fields, jax.random.key(3)) for _ in range(2))
    assert first.shape == (BATCH, SIZE, SIZE, 3)
    assert first.dtype == jnp.float32
    np.testing.assert_array_equal(first, second)
    assert float(first.std()) > 0


@pytest.mark.xdist_group('cyclegan')
def test_cyclegan_translates_each_sample_to_its_own_domain():
    experiment = default_experiment('cyclegan')
    params, source = experiment.init(0).translate_params, make_batch(experiment, 'cyclegan')['source']

    def to(*domains):
        return experiment.translate(
            params, {'source': source, 'target_domain': jnp.array(domains)}, jax.random.key(0)
        )

    mixed, to_a, to_b = to(0, 1, 0, 1), to(0, 0, 0, 0), to(1, 1, 1, 1)
    np.testing.assert_allclose(mixed[::2], to_a[::2], atol=1e-6)
    np.testing.assert_allclose(mixed[1::2], to_b[1::2], atol=1e-6)
    assert float(jnp.abs(to_a - to_b).max()) > 1e-3


@every_method
def test_the_first_non_finite_term_is_found_and_kept(name):
    experiment = default_experiment(name)
    state, batch = experiment.init(0), make_batch(experiment, name)
    bad = jax.tree.map(lambda x: x * jnp.nan, state.discriminator.params)
    state = state.replace(discriminator=state.discriminator.replace(params=bad), step=state.step + 7)
    for _ in range(2):
        state, scalars = experiment.train_step(state, batch, jax.random.key(1))
    assert int(state.fault.step) == 7
    assert sorted(scalars)[int(state.fault.term)] == FIRST_TERM[name]
    assert not np.isfinite(scalars[FIRST_TERM[name]])


@every_method
def test_another_adversarial_loss_with_every_penalty(name):
    """What the penalties and losses are is tested in `test_losses.py`; here, that a step takes them."""
    options = dict.fromkeys(('r1_weight', 'r2_weight', 'gradient_penalty_weight'), 1.0)
    options |= {'adversarial': 'wasserstein', 'regularize_every': 2}
    experiment = make_experiment(name, method=options)
    state, batch = experiment.init(0), make_batch(experiment, name)
    seen = []
    for _ in range(2):
        state, scalars = experiment.train_step(state, batch, jax.random.key(1))
        seen.append(
            {t: float(v) for t, v in scalars.items() if '/r1' in t or '/r2' in t or 'gradient_penalty' in t}
        )
    assert len(seen[0]) >= 3
    assert all(value == 0 for value in seen[0].values()), 'a lazy penalty rests at the first step'
    assert all(value > 0 for value in seen[1].values())


@every_method
def test_a_step_is_traced_with_penalties_at_every_step(name):
    options = dict.fromkeys(('r1_weight', 'r2_weight', 'gradient_penalty_weight'), 1.0)
    experiment = make_experiment(name, method={**options, 'adversarial': 'hinge'})
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), make_batch(experiment, name))
    _, scalars = jax.eval_shape(experiment.train_step, experiment.abstract_state, batch, jax.random.key(0))
    assert any('gradient_penalty' in term for term in scalars)


@every_method
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'adversarial': 'gan'}, 'unknown adversarial loss'),
        ({'regularize_every': 0}, 'regularize_every is 0; it must be above 0'),
        ({'r1_weight': -1.0}, 'r1_weight is -1.0; it must be 0 or more'),
        ({'r1_weight': float('nan')}, 'r1_weight is nan'),
    ],
)
def test_wrong_hyper_parameters_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_experiment(name, method=options)


def test_wrong_method_field_and_network_name_the_choices():
    with pytest.raises(ValueError, match="cyclegan has no hyper-parameter 'cycle'; it has adversarial"):
        make_experiment('cyclegan', method={'cycle': 1.0})
    for name, domains, wanted in (
        ('cyclegan', 3, '2 domains, there are 3'),
        ('stargan_v2', 1, 'or more, there is 1'),
    ):
        with pytest.raises(ValueError, match=wanted):
            experiment_lib.make_experiment(make_config(name), domains=domains, mesh=sharding.make_mesh())
    config = make_config('cyclegan')
    config.optimizer.networks = {'generator': {'learning_rate': 1.0}}
    with pytest.raises(
        ValueError, match=r"optimizer.networks has 'generator'; the networks are generator_a_to_b"
    ):
        experiment_lib.make_experiment(config, domains=2, mesh=sharding.make_mesh())


def program_digests():
    """The program of every method's step as it goes to the compiler."""
    for name in METHODS:
        experiment = default_experiment(name)
        batch = make_batch(experiment, name)
        lowered = experiment.train_step.lower(experiment.abstract_state, batch, jax.random.key(0))
        yield name, hashlib.sha256(lowered.as_text().encode()).hexdigest()


@pytest.mark.slow
def test_every_process_compiles_the_same_programs():
    """Otherwise no compilation cache is ever warm, and the processes of one run do not fit together."""
    code = 'from tests.test_step import program_digests; print(*program_digests())'
    both = [
        subprocess.Popen(
            [sys.executable, '-c', code],
            cwd=pathlib.Path(__file__).parents[1],
            env={**os.environ, 'PYTHONHASHSEED': seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ('1', '2')
    ]
    outputs = {process.communicate()[0].splitlines()[-1] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(outputs) == 1
