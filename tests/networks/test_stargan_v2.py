"""StarGAN v2's residual generator, which its papers' code does not have."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_transfer.networks.stargan_v2 import Generator


def test_a_residual_generator_starts_near_the_identity_and_looks_at_the_style():
    """Were its outputs the very same for all styles, their distance would have no gradient to grow by."""
    generator = Generator(width=8, downsamplings=1, max_width=16, residual=True)
    images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3), minval=-1, maxval=1)
    style, other = jax.random.normal(jax.random.key(1), (2, 2, 4))
    variables = generator.init(jax.random.key(2), images, style)
    translated = generator.apply(variables, images, style)[0]
    assert 0.01 < np.abs(translated - images).mean() < 0.3

    def distance(variables):
        difference = (
            generator.apply(variables, images, style)[0] - generator.apply(variables, images, other)[0]
        )
        return jnp.abs(difference).mean()

    gradients = jax.grad(distance)(variables)['params']
    assert distance(variables) > 1e-3
    assert np.abs(gradients['to_rgb']['kernel']).max() > 1e-3
    assert np.abs(gradients['decode_0']['norm_0']['linear']['kernel']).max() > 1e-4
