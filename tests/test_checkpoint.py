"""Checkpoints of a small state: the same bits again, the newest ones kept, nothing half."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import sharding
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.errors import UserError
from gan_transfer.state import Fault, GanState, SideState


@pytest.fixture
def mesh():
    return sharding.make_mesh()


def make_state(mesh, seed, width=3):
    key = jax.random.key(seed)
    params = {'layer': {'kernel': jax.random.normal(key, (width, 5))}}
    state = GanState(
        step=jnp.int32(seed),
        generator=SideState({'generator': params}, {'generator': (jnp.zeros(3), {})}),
        discriminator=SideState({}, {}),
        average={},
        memory={'pool': {'images': jax.random.normal(key, (8, 2, 4, 4, 3))}},
        fault=Fault(jnp.int32(-1), jnp.int32(-1)),
    )
    replicated, split = sharding.replicated(mesh), sharding.batch_sharding(mesh)
    memory = jax.device_put(state.memory, split)
    return jax.device_put(state, replicated).replace(memory=memory)


def abstract(state):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)


def save(workdir, states, **options):
    checkpoints = Checkpoints(workdir, **options)
    for step, state in states.items():
        checkpoints.save(step, state, {'images': 4 * step})
    checkpoints.wait()
    return checkpoints


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.sharding.is_equivalent_to(y.sharding, x.ndim)


def test_restores_the_same_bits_and_keeps_the_newest(tmp_path, mesh):
    states = {step: make_state(mesh, step) for step in (1, 2, 3)}
    save(tmp_path, states, keep=2).close()
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() == 3
    assert sorted(path.name for path in (tmp_path / 'checkpoints').iterdir()) == ['2', '3']
    assert_same(checkpoints.restore(3, abstract(states[3])), states[3])
    assert checkpoints.about(3)['images'] == 12
    checkpoints.close()


def test_saving_survives_the_donation_of_the_state(tmp_path, mesh):
    """The next step may write over the state while it is being saved."""
    state = make_state(mesh, 1)
    expected = jax.tree.map(lambda x: jnp.array(np.array(x), device=x.sharding), state)
    overwrite = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0, tree), donate_argnums=0)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, state, {})
    state = overwrite(state)
    jax.block_until_ready(state)
    checkpoints.wait()
    assert_same(checkpoints.restore(1, abstract(expected)), expected)
    checkpoints.close()


def test_restores_onto_another_number_of_devices(tmp_path, mesh):
    state = make_state(mesh, 1)
    save(tmp_path, {1: state}, keep=1).close()
    fewer = make_state(sharding.make_mesh(jax.devices()[:2]), 1)
    checkpoints = Checkpoints(tmp_path)
    assert_same(checkpoints.restore(1, abstract(fewer)), fewer)
    checkpoints.close()


def test_other_shapes_are_refused(tmp_path, mesh):
    save(tmp_path, {1: make_state(mesh, 1)}, keep=1).close()
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(UserError, match=r'generator/params/generator/layer/kernel is \[3, 5\], not \[4, 5\]'):
        checkpoints.restore(1, abstract(make_state(mesh, 1, width=4)))
    checkpoints.close()


def test_reading_makes_no_folder(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    assert not list(tmp_path.iterdir())
    checkpoints.close()
