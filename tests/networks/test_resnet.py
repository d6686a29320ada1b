"""The residual ResNet generator, which the papers do not have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.methods import METHODS
from gan_transfer.networks import layers
from gan_transfer.networks.resnet import ResNetGenerator

IMAGES = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3), minval=-1, maxval=1)


def _generator(gain: float) -> tuple[ResNetGenerator, dict]:
    generator = ResNetGenerator(width=4, blocks=1, residual=True, initializer=layers.xavier_normal(gain))
    return generator, generator.init(jax.random.key(1), IMAGES)


def test_a_residual_generator_starts_near_the_identity():
    generator, variables = _generator(0.02)
    assert 1e-4 < np.abs(generator.apply(variables, IMAGES)[0] - IMAGES).mean() < 0.1


def test_a_residual_generator_makes_images_that_can_be_saved():
    """A sum beyond black or white is shown to the discriminator as it will be saved, and still learns elsewhere."""
    generator, variables = _generator(1.0)
    images = generator.apply(variables, IMAGES)[0]
    assert (images.min(), images.max()) == (-1, 1)
    assert 0.05 < np.mean(np.abs(images) < 1) < 0.95
    gradients = jax.grad(lambda v: jnp.square(generator.apply(v, IMAGES)[0]).mean())(variables)['params']
    assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(gradients['output']))


@pytest.mark.parametrize('skips', [False, True])
def test_skips_take_an_image_past_the_bottleneck(skips):
    generator = ResNetGenerator(width=4, blocks=1, antialias=True, skips=skips)
    variables = generator.init(jax.random.key(1), IMAGES)
    closed = {**variables['params'], 'down_1': jax.tree.map(jnp.zeros_like, variables['params']['down_1'])}
    one, other = generator.apply({'params': closed}, IMAGES)[0]
    assert (np.abs(one - other).max() > 1e-3) == skips


@pytest.mark.parametrize('name', ['cut', 'cyclegan'])
def test_skips_without_antialias_are_an_error(name):
    with pytest.raises(ValueError, match='skips needs antialias=True'):
        METHODS[name](skips=True, antialias=False).check(64, 2)
