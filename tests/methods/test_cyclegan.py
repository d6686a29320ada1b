"""CycleGAN's own switches: the weights of domain b, and discriminators of single pixels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gan_transfer.methods.cyclegan import CycleGan
from tests.tiny import gradients_of, make_experiment, phase_input


def test_images_of_domain_b_have_a_factor_of_their_own():
    """The original's lambda_B: how images of b come back from a, and through the generator that makes b's."""
    networks = {f'generator_{way}': lambda x: (x / 2, {}) for way in ('a_to_b', 'b_to_a')}
    networks |= {f'discriminator_{domain}': lambda x: (jnp.zeros((1, 1, 1, 1)), {}) for domain in 'ab'}
    a, b = jnp.full((1, 4, 4, 3), 0.25), jnp.full((1, 4, 4, 3), 1.0)
    given = phase_input(
        networks, {'source': a, 'target': b}, forwards={'translated': {'b': a / 2, 'a': b / 2}}
    )
    method = CycleGan(cycle_weight=10.0, identity_weight=5.0)
    loss, scalars, _ = method.generator_loss(given)
    other = dataclasses.replace(method, domain_b_factor=3.0).generator_loss(given).loss
    of_b = 10 * scalars['cycle_b_to_a'] + 5 * scalars['identity_a_to_b']
    np.testing.assert_allclose(of_b, 10 * 0.75 + 5 * 0.5)
    np.testing.assert_allclose(other - loss, 2 * of_b, rtol=1e-6)


def test_discriminators_of_single_pixels_train():
    experiment = make_experiment('cyclegan', method={'discriminator_depth': 0})
    gradients, _ = gradients_of(experiment, 'cyclegan')
    kernels = [gradients['discriminator_a'][name]['kernel'] for name in ('layer_0', 'layer_1', 'output')]
    assert all(np.isfinite(kernel).all() and np.abs(kernel).max() > 0 for kernel in kernels)
    assert {kernel.shape[:2] for kernel in kernels} == {(1, 1)}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
