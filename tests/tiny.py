"""Every method with hyper-parameters so small that a step compiles in seconds: what the tables of tests run.

A new method adds a line to TINY and DOMAINS here, and to the tables of `test_step.py`.
"""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
from gan_transfer import experiment as experiment_lib
from gan_transfer import sharding
from gan_transfer.methods import METHODS
from gan_transfer.methods.contract import PhaseInput
from gan_transfer.optimizer import Optimizer
from gan_transfer.step import make_train_step

SIZE, BATCH = 32, 4
TINY = {
    'cut': {
        **{'generator_width': 4, 'generator_blocks': 1, 'discriminator_width': 4, 'projection_width': 8},
        'nce_layers': ('padded', 'down_0', 'block_0'),
        'patches': 64,
        'initial_gain': 0.5,
    },
    'cyclegan': {'generator_width': 4, 'generator_blocks': 1, 'discriminator_width': 4, 'pool_size': 8},
    # Too shallow for dropout, which `test_step_exactly.py` has at 64 px.
    'pix2pix': {'generator_width': 4, 'generator_depth': 4, 'discriminator_width': 4},
    'stargan_v2': {
        **{'width': 4, 'max_width': 8, 'mapping_width': 8, 'style_size': 4, 'bottleneck_blocks': 1},
        'matching_weight': 1.0,
    },
}
# CycleGAN's first batch has a ReLU or an absolute value within rounding of its kink: on one device alone its gradients
# differ from one optimization level of XLA to another by 60 times the tolerance, those of the second by a hundredth.
SEEDS = {'cyclegan': 1}
DOMAINS = {'cut': 2, 'cyclegan': 2, 'pix2pix': 2, 'stargan_v2': 3}
# All of a method's tests run in one worker, which keeps what is compiled.
every_method = pytest.mark.parametrize(
    'name', [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in METHODS]
)


def make_config(name, **changes):
    config = common.get_config()
    config.method = {'name': name, **TINY[name], **changes.pop('method', {})}
    config.image_size, config.batch_size, config.train_images = SIZE, BATCH, 1000
    config.optimizer.update(learning_rate=1e-3, b1=0.5, b2=0.99)
    config.average_decay = 0.9
    config.update(changes)
    return config


def make_experiment(name, mesh=None, **changes):
    """The method on `mesh`, on one device without."""
    mesh = mesh or sharding.make_mesh(jax.devices()[:1])
    return experiment_lib.make_experiment(make_config(name, **changes), domains=DOMAINS[name], mesh=mesh)


@functools.cache
def default_experiment(name):
    """The method as it is in the table; what it compiles is compiled once."""
    return make_experiment(name)


def make_batch(experiment, name, seed=0, size=BATCH, image_size=SIZE):
    rng = np.random.default_rng(seed)
    makers = {
        'domain': lambda: rng.permutation(np.arange(size) % DOMAINS[name]).astype(np.int32),
        'latent': lambda: rng.normal(size=(size, experiment.method.latent_size)).astype(np.float32),
        'image': lambda: rng.integers(0, 256, (size, image_size, image_size, 3), np.uint8),
    }

    def kind(field):
        return next((k for k in ('domain', 'latent') if k in field), 'image')

    batch = {field: makers[kind(field)]() for field in experiment.method.batch_fields}
    every = np.arange(size)
    return {k: sharding.to_devices(experiment.mesh, v, every, size) for k, v in batch.items()}


def phase_input(networks, batch, **changes):
    """What a loss sees at the first step, with functions in place of networks."""
    given = PhaseInput(
        networks=networks,
        batch=batch,
        forwards={},
        memory={},
        key=jax.random.key(0),
        images_seen=jnp.zeros(()),
        step=jnp.int32(0),
        axes=(),
    )
    return given._replace(**changes)


def only(method, phase):
    """The method with one phase alone."""
    return types.SimpleNamespace(
        phases=lambda: (phase,), forwards=method.forwards, batch_fields=method.batch_fields
    )


def plain_gradient_step(experiment, method=None, accumulation=1, batch_size=BATCH, direction=None):
    """A step whose update is minus the gradient, or what `direction` makes of it, so that parameters tell gradients."""
    optimizers = dict.fromkeys(
        experiment.networks, Optimizer(direction or optax.identity(), lambda images_seen: jnp.float32(1))
    )
    shardings = jax.tree.map(lambda x: x.sharding, _without_optimizers(experiment.abstract_state))
    return make_train_step(
        method or experiment.method,
        experiment.networks,
        optimizers,
        shardings,
        batch_size=batch_size,
        accumulation=accumulation,
    )


def plain_state(experiment):
    """The first state with optimizer states that fit `plain_gradient_step`."""
    return _without_optimizers(experiment.init(0))


def _without_optimizers(state):
    for side in ('generator', 'discriminator'):
        old = getattr(state, side)
        state = state.replace(
            **{side: old.replace(optimizer_state={n: optax.EmptyState() for n in old.params})}
        )
    return state


def gradients_of(experiment, name, batch_size=BATCH, seed=None, image_size=SIZE, **options):
    # Whole on every device, so that each of several processes sees them.
    whole = jax.jit(lambda tree: tree, out_shardings=sharding.replicated(experiment.mesh))
    state = plain_state(experiment)
    before = jax.tree.map(np.array, whole(state.params))  # a copy: the step takes the state's memory
    state, scalars = plain_gradient_step(experiment, batch_size=batch_size, **options)(
        state,
        make_batch(experiment, name, SEEDS.get(name, 0) if seed is None else seed, batch_size, image_size),
        jax.random.key(1),
    )
    return jax.tree.map(np.subtract, before, jax.device_get(whole(state.params))), jax.device_get(scalars)


@functools.cache
def expected_gradients(name):
    """Gradients and scalars of the method as it is in the table."""
    return gradients_of(default_experiment(name), name)


def assert_close(a, b, rtol=2e-4):
    """Compares trees leaf by leaf, relative to the largest value of the leaf's network."""
    for network in a:
        scale = max(np.abs(x).max() for x in jax.tree.leaves(b[network]))
        jax.tree.map(
            lambda x, y, s=scale: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * s),
            a[network],
            b[network],
        )
