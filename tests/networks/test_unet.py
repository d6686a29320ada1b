"""The dropout of pix2pix's generator, in which reference cases have no part."""

import jax
import jax.numpy as jnp

from gan_transfer.networks import layers
from gan_transfer.networks.unet import UNetGenerator


def test_each_block_with_dropout_has_keys_of_its_own(monkeypatch):
    seen = []
    monkeypatch.setattr(layers, 'dropout', lambda x, rate, keys: (seen.append(keys), x)[1])
    network, images = UNetGenerator(depth=7, width=1), jnp.zeros((2, 128, 128, 3))
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    variables = jax.eval_shape(network.init, jax.random.key(0), images)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), variables)

    @jax.jit
    def keys_of_blocks(keys):
        network.apply(zeros, images, keys)
        return [jax.random.key_data(each) for each in seen]

    found = keys_of_blocks(keys)
    assert len(found) == 2, 'two of seven'
    different = {tuple(data) for each in found for data in each.tolist()}
    assert len(different) == 2 * len(keys)
