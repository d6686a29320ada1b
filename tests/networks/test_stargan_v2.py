"""What the paper's generator of StarGAN v2 does not have, and where masks act on that of faces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.networks.normalization import normalize_instances, normalize_pixels
from gan_transfer.networks.stargan_v2 import Generator, StyledResidualBlock


def test_a_residual_generator_starts_near_the_identity_and_looks_at_the_style():
    """Were its outputs the very same for all styles, their distance would have no gradient to grow by."""
    generator = Generator(width=8, downsamplings=1, max_width=16, residual=True)
    images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3), minval=-1, maxval=1)
    style, other = jax.random.normal(jax.random.key(1), (2, 2, 4))
    variables = jax.jit(generator.init)(jax.random.key(2), images, style)
    translated = jax.jit(generator.apply)(variables, images, style)[0]
    assert 0.01 < np.abs(translated - images).mean() < 0.3

    def distance(variables):
        difference = (
            generator.apply(variables, images, style)[0] - generator.apply(variables, images, other)[0]
        )
        return jnp.abs(difference).mean()

    value, gradients = jax.jit(jax.value_and_grad(distance))(variables)
    gradients = gradients['params']
    assert value > 1e-3
    assert np.abs(gradients['to_rgb']['kernel']).max() > 1e-3
    assert np.abs(gradients['decode_0']['norm_0']['linear']['kernel']).max() > 1e-4


def test_a_clipped_generator_makes_images_that_can_be_saved():
    images = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3), minval=-1, maxval=1)
    style = jax.random.normal(jax.random.key(1), (1, 4))
    free, clipped = (Generator(width=8, downsamplings=1, max_width=16, clip=clip) for clip in (False, True))
    variables = jax.jit(free.init)(jax.random.key(2), images, style)
    unbounded, bounded = (jax.jit(g.apply)(variables, images, style)[0] for g in (free, clipped))
    assert np.abs(unbounded).max() > 1
    assert np.abs(bounded).max() == 1
    np.testing.assert_allclose(bounded, unbounded.clip(-1, 1), atol=1e-6)


@pytest.mark.parametrize(('normalize', 'apart'), [(normalize_instances, False), (normalize_pixels, True)])
def test_with_pixel_norm_a_spot_changes_nothing_far_away(normalize, apart):
    block = StyledResidualBlock(6, upsample=True, normalize=normalize)
    x, style = jax.random.normal(jax.random.key(0), (1, 16, 16, 4)), jnp.ones((1, 3))
    variables = block.init(jax.random.key(1), x, style)
    plain, spotted = (block.apply(variables, y, style) for y in (x, x.at[:, 2, 2].set(100.0)))
    assert np.abs(plain - spotted)[:, :12, :12].max() > 1, 'two convolutions reach so far'
    assert (np.abs(plain - spotted)[:, 12:].max() < 1e-5) == apart


def test_pixel_norm_changes_the_decoder_and_no_parameter():
    images = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3), minval=-1, maxval=1)
    style = jax.random.normal(jax.random.key(1), (1, 4))
    by_instance, by_pixel = (Generator(width=8, downsamplings=1, pixel_norm=x) for x in (False, True))
    variables = by_instance.init(jax.random.key(2), images, style)
    (one, features), (other, changed) = (x.apply(variables, images, style) for x in (by_instance, by_pixel))
    assert np.abs(one - other).max() > 0.1
    for name in features:
        assert (np.abs(features[name] - changed[name]).max() > 0.1) == name.startswith('decode'), name


@pytest.mark.parametrize('skips', [False, True])
def test_skips_take_an_image_past_the_bottleneck_and_style_it(skips):
    """The bottleneck is cut: what passes by it, at each of two sizes, is drawn by the style."""
    generator = Generator(width=8, downsamplings=2, bottleneck_blocks=1, skips=skips)
    images = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3), minval=-1, maxval=1)
    style, other = jax.random.normal(jax.random.key(1), (2, 1, 4))
    variables = generator.init(jax.random.key(2), images, jnp.repeat(style, 2, axis=0))
    params = dict(variables['params'])
    params['encode_1'] = jax.tree.map(jnp.zeros_like, params['encode_1'])
    one, two = generator.apply({'params': params}, images, jnp.repeat(style, 2, axis=0))[0]
    assert (np.abs(one - two).max() > 1e-3) == skips
    if skips:
        assert {'refine_1', 'refine_2'} <= set(params)
        restyled = generator.apply({'params': params}, images, jnp.repeat(other, 2, axis=0))[0][0]
        assert np.abs(restyled - one).max() > 1e-3


def test_masks_act_at_their_sizes_by_the_inverse_of_the_weight():
    """The first mask at 32 px, the second at 64; a weight of 4 lets a quarter through."""
    images = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3), minval=-1, maxval=1)
    style = jax.random.normal(jax.random.key(1), (1, 4))

    def added(weight, *mask):
        """What masks change in the decoder's features, by their size."""
        generator = Generator(width=4, downsamplings=2, max_width=8, high_pass_weight=weight)
        variables = generator.init(jax.random.key(2), images, style)
        plain, masked = (
            generator.apply(variables, images, style, jnp.ones((1, 64, 64, 2)) * jnp.array(masks))[1]
            for masks in ((0.0, 0.0), mask)
        )
        changes = {x.shape[1]: x - plain[name] for name, x in masked.items() if 'decode' in name}
        return {size: change for size, change in changes.items() if jnp.abs(change).max() > 1e-3}

    assert set(added(1.0, 1.0, 0.0)) == {32, 64}, 'what changes at 32 px does so behind it'
    assert set(added(1.0, 0.0, 1.0)) == {64}
    np.testing.assert_allclose(4 * added(4.0, 1.0, 0.0)[32], added(1.0, 1.0, 0.0)[32], atol=1e-4)
