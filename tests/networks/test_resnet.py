"""The residual ResNet generator, which the papers do not have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.methods import METHODS
from gan_transfer.networks import layers
from gan_transfer.networks.resnet import ResNetGenerator

IMAGES = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3), minval=-1, maxval=1)


def _generator(gain: float, *, clip: bool) -> tuple[ResNetGenerator, dict]:
    initializer = layers.xavier_normal(gain)
    generator = ResNetGenerator(width=4, blocks=1, residual=True, clip=clip, initializer=initializer)
    return generator, generator.init(jax.random.key(1), IMAGES)


@pytest.mark.parametrize('clip', [False, True])
def test_a_residual_generator_starts_near_the_identity(clip):
    generator, variables = _generator(0.02, clip=clip)
    assert 1e-4 < np.abs(generator.apply(variables, IMAGES)[0] - IMAGES).mean() < 0.1


def test_a_clipped_generator_makes_images_that_can_be_saved():
    """A sum beyond black or white is shown to the discriminator as it will be saved, and still learns elsewhere."""
    generator, variables = _generator(1.0, clip=True)
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
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'skips': True, 'antialias': False}, 'skips needs antialias=True'),
        ({'clip': True, 'residual': False}, 'clip needs residual=True'),
    ],
)
def test_options_that_need_another_are_errors(name, options, message):
    with pytest.raises(ValueError, match=message):
        METHODS[name](**options).check(64, 2)
