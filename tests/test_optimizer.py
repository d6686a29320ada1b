"""Optimizers: schedules, coupled weight decay, overrides of single networks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
from gan_transfer.optimizer import make_optimizer, make_schedule, rates


def _config(**changes):
    optimizer = common.get_config().optimizer
    optimizer.update(learning_rate=0.1, b1=0.0, b2=0.99, **changes)
    return optimizer


@pytest.mark.parametrize(
    ('name', 'quarter', 'middle', 'behind'),
    [('constant', 2.0, 2.0, 2.0), ('linear', 1.5, 1.0, 0.0), ('cosine', 1 + 0.5**0.5, 1.0, 0.0)],
)
def test_schedule(name, quarter, middle, behind):
    schedule = make_schedule(name, 2.0, 100, 300)
    found = [float(schedule(jnp.float32(images))) for images in (50, 150, 200, 400)]
    np.testing.assert_allclose(found, [2.0, quarter, middle, behind], rtol=1e-6, atol=1e-6)


def test_unknown_schedule_names_the_choices():
    with pytest.raises(ValueError, match="unknown schedule 'step'; choose one of constant, linear, cosine"):
        make_schedule('step', 1.0, 0, 1)


def test_weight_decay_goes_through_adam():
    # Without a gradient, coupled decay moves a weight by the full rate; decoupled decay would move it by rate * decay.
    optimizer = make_optimizer(_config(weight_decay=1e-2), 'generator', 1000)
    params = {'w': jnp.array([3.0, -2.0])}
    direction, rate, _ = optimizer.update(
        {'w': jnp.zeros(2)},
        optimizer.direction.init(params),
        params,
        images_seen=jnp.float32(0),
        norm=jnp.float32(0),
    )
    np.testing.assert_allclose(-rate * direction['w'], [-0.1, 0.1], rtol=1e-4)


def test_one_network_s_rate():
    config = _config(networks={'mapping_network': {'learning_rate': 1e-3}})
    assert make_optimizer(config, 'mapping_network', 1).learning_rate(jnp.float32(0)) == pytest.approx(1e-3)
    assert make_optimizer(config, 'generator', 1).learning_rate(jnp.float32(0)) == pytest.approx(0.1)


def test_what_clips_and_decays_keeps_no_state():
    params = {'w': jnp.array([3.0, -2.0])}
    plain = make_optimizer(_config(), 'generator', 1)
    more = make_optimizer(_config(gradient_clip=1.0, weight_decay=1e-2), 'generator', 1)
    state = plain.direction.init(params)
    assert jax.tree.structure(more.direction.init(params)) == jax.tree.structure(state)
    gradients, norm = {'w': jnp.array([30.0, 40.0])}, jnp.float32(50)
    _, _, state = more.update(gradients, state, params, images_seen=jnp.float32(0), norm=norm)
    # Clipped to a norm of 1, then decayed: (0.6, 0.8) + 0.01 * (3, -2); b1 is 0, so the first moment is the gradient.
    np.testing.assert_allclose(optax.tree_utils.tree_get(state, 'mu')['w'], [0.63, 0.78], rtol=1e-6)


def test_learning_rates_for_the_log():
    config = common.get_config().optimizer
    config.schedule, config.decay_start_images, config.learning_rate = 'linear', 0, 1e-2
    config.networks = {'slow': {'learning_rate': 1e-3}}
    made = {name: make_optimizer(config, name, 100) for name in ('fast', 'slow')}
    assert rates(made, 50) == pytest.approx({'learning_rate/fast': 5e-3, 'learning_rate/slow': 5e-4})
    assert rates({'fast': made['fast']}, 0) == pytest.approx({'learning_rate': 1e-2})
