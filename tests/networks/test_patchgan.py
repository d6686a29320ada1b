"""The discriminator of single pixels, of which there is no reference case, and images of any channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.networks.patchgan import PatchDiscriminator, smallest
from gan_transfer.networks.resnet import ResNetGenerator
from gan_transfer.networks.unet import UNetGenerator


@pytest.mark.parametrize('batch_norm', [False, True])
def test_the_pixel_discriminator_is_the_original_s(batch_norm):
    """By its definition: 1x1 convolutions to 4, 8 and 1 channels, a norm behind the second."""
    network = PatchDiscriminator(width=4, depth=0, batch_norm=batch_norm)
    images = jax.random.normal(jax.random.key(0), (2, smallest(0) + 5, 5, 3))
    params = network.init(jax.random.key(1), images)['params']
    biases = {name: 'bias' in params[name] for name in ('layer_0', 'layer_1', 'output')}
    assert biases == {'layer_0': True, 'layer_1': not batch_norm, 'output': not batch_norm}
    params = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(2), x.shape), params)

    def pixels(x, name):
        layer = jax.tree.map(np.asarray, params[name])
        assert layer['kernel'].shape[:2] == (1, 1)
        return x @ layer['kernel'][0, 0] + layer.get('bias', 0)

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x)

    x = pixels(leaky(pixels(np.asarray(images), 'layer_0')), 'layer_1')
    x = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    if batch_norm:
        x = x * params['norm_1']['scale'] + params['norm_1']['bias']
    logits, _ = network.apply({'params': params}, images)
    np.testing.assert_allclose(logits, pixels(leaky(x), 'output'), atol=1e-4)


@pytest.mark.parametrize(
    'network', [ResNetGenerator(width=2, blocks=1, channels=1), UNetGenerator(width=2, depth=3, channels=1)]
)
def test_a_generator_takes_images_of_any_channels_to_any(network):
    images = jnp.ones((1, 16, 16, 2))
    made, _ = network.apply(network.init(jax.random.key(0), images), images)
    assert made.shape == (1, 16, 16, 1)
