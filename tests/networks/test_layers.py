"""The layers that no published network pins down by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from gan_transfer import sharding
from gan_transfer.networks import layers, normalization, resampling
from gan_transfer.networks.two_means import two_means, two_means_in_two_stages


def _images(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(3.0, 2.0, shape), jnp.float32)


def _batch_norm(images, devices):
    norm, params = normalization.BatchNorm(), {'scale': jnp.array([1.0, 2.0]), 'bias': jnp.array([0.0, 5.0])}
    split = PartitionSpec(sharding.BATCH)
    mesh = sharding.make_mesh(jax.devices()[:devices])
    mapped = jax.shard_map(
        lambda x: norm.apply({'params': params}, x, sharding.BATCH),
        mesh=mesh,
        in_specs=split,
        out_specs=split,
    )
    return jax.jit(mapped)(jax.device_put(images, sharding.batch_sharding(mesh)))


def test_batch_norm_takes_statistics_of_the_whole_batch_on_any_number_of_devices():
    images = _images((4, 6, 5, 2)) + jnp.arange(4.0)[:, None, None, None]
    one, four = (_batch_norm(images, devices) for devices in (1, 4))
    np.testing.assert_allclose(one.mean((0, 1, 2)), [0, 5], atol=1e-5)
    np.testing.assert_allclose(one.std((0, 1, 2)), [1, 2], rtol=1e-4)
    np.testing.assert_allclose(four, one, atol=1e-5)
    assert float(jnp.abs(one.mean((1, 2))[0] - one.mean((1, 2))[3]).max()) > 0.5, 'not each image by itself'


def test_batch_norm_without_a_mesh_axis_takes_each_image_by_itself():
    images = _images((3, 8, 8, 2))
    norm = normalization.BatchNorm()
    params = norm.init(jax.random.key(0), images)
    together, alone = norm.apply(params, images), norm.apply(params, images[1:2])
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def test_dropout_scales_what_it_keeps_and_depends_on_the_sample_s_key_alone():
    x, keys = jnp.ones((4, 50, 50, 3)), jax.random.split(jax.random.key(0), 4)
    y = layers.dropout(x, 0.25, keys)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    np.testing.assert_allclose((y == 0).mean(), 0.25, atol=0.01)
    np.testing.assert_array_equal(layers.dropout(x[2:], 0.25, keys[2:]), y[2:])
    assert (y[0] != y[1]).any()


RESAMPLINGS = pytest.mark.parametrize(
    ('downsample', 'upsample'),
    [
        (resampling.blur_downsample, resampling.blur_upsample),
        (resampling.blur_downsample_by_filter, resampling.blur_upsample_by_filter),  # of TPUs
    ],
)


@RESAMPLINGS
def test_blurred_resampling_keeps_constants_and_equals_the_filters(downsample, upsample):
    x = _images((1, 6, 4, 2))
    down, up = downsample(x), upsample(x)
    assert down.shape == (1, 3, 2, 2)
    assert up.shape == (1, 12, 8, 2)
    constant = jnp.full((1, 4, 4, 1), 7.0)
    np.testing.assert_allclose(downsample(constant), 7.0, rtol=1e-6)
    np.testing.assert_allclose(upsample(constant), 7.0, rtol=1e-6)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='reflect')
    weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
    np.testing.assert_allclose(down[0, 1, 1], np.einsum('ij,ijc->c', weights, padded[0, 2:5, 2:5]), rtol=1e-5)
    # An even pixel lies a quarter of the way to the pixel before.
    np.testing.assert_allclose(
        up[0, 2, 4],
        0.5625 * x[0, 1, 2] + 0.1875 * (x[0, 0, 2] + x[0, 1, 1]) + 0.0625 * x[0, 0, 1],
        rtol=1e-5,
    )


@RESAMPLINGS
def test_blurred_resampling_of_odd_sizes(downsample, upsample):
    assert downsample(jnp.zeros((1, 7, 31, 1))).shape == (1, 4, 16, 1)
    assert upsample(jnp.zeros((1, 7, 31, 1))).shape == (1, 14, 62, 1)


def _plain_pad(x):
    return jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode='reflect')


def _plain_normalize(x):
    centred = x - x.mean((1, 2), keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean((1, 2), keepdims=True) + 1e-5)


def _plain_means(x):
    return jnp.concatenate([y.mean((1, 2), keepdims=True) for y in (x, jnp.sin(x))], -1)


@pytest.mark.parametrize(
    ('function', 'plain'),
    [
        (lambda x: layers.reflection_pad(x, 3), _plain_pad),
        (lambda x: layers.reflection_pad_as_sum(x, 3), _plain_pad),
        (normalization.normalize_instances, _plain_normalize),
        (lambda x: jnp.concatenate(two_means(x, jnp.sin(x)), -1), _plain_means),
    ],
    ids=['reflection_pad', 'reflection_pad_as_sum', 'normalize_instances', 'two_means'],
)
@pytest.mark.parametrize('height', [4, 9])  # the mirrored borders overlap, and do not
def test_derivatives_of_our_own_equal_the_automatic_ones(function, plain, height):
    x = 2 + jax.random.normal(jax.random.key(0), (2, height, 8, 3))
    weights = jax.random.normal(jax.random.key(1), plain(x).shape)

    def derivatives(f):
        gradient = jax.grad(lambda y: (jnp.tanh(f(y)) * weights).sum())
        return f(x), gradient(x), jax.grad(lambda y: jnp.square(gradient(y)).sum())(x)

    for ours, theirs in zip(derivatives(function), derivatives(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_pixel_norm_gives_every_place_a_mean_square_of_1_and_keeps_its_direction():
    x = _images((2, 3, 4, 5)).at[0, 0, 0].set(0)
    y = normalization.normalize_pixels(x)
    squares = jnp.square(y).mean(-1)
    np.testing.assert_allclose(squares.at[0, 0, 0].set(1), 1, atol=1e-4)
    np.testing.assert_array_equal(y[0, 0, 0], 0)
    np.testing.assert_allclose(y * jnp.sqrt(jnp.square(x).mean(-1, keepdims=True)), x, rtol=1e-4)
    assert jnp.isfinite(jax.grad(lambda z: normalization.normalize_pixels(z).sum())(x)).all()
    assert normalization.normalize_pixels(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_two_means_are_the_same_in_two_stages():
    first, second = _images((2, 5, 7, 3)), _images((2, 5, 7, 3)) ** 2
    for one, other in zip(
        two_means_in_two_stages(first, second),
        (y.mean((1, 2), keepdims=True) for y in (first, second)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_border_that_is_wider_than_the_image_is_an_error():
    with pytest.raises(ValueError, match='an image of 3x8 pixels has no 3 to mirror'):
        layers.reflection_pad(_images((1, 3, 8, 1)), 3)


def test_gradients_of_gradients_of_a_norm_in_bfloat16_are_near_those_in_float32():
    x = _images((2, 5, 7, 3))

    def penalty(y):
        gradient = jax.grad(
            lambda z: jnp.tanh(normalization.normalize_instances(z)).astype(jnp.float32).sum()
        )(y)
        return jnp.square(gradient.astype(jnp.float32)).sum()

    exact, near = (
        np.asarray(jax.grad(penalty)(x.astype(kind)), np.float32) for kind in (jnp.float32, jnp.bfloat16)
    )
    assert np.linalg.norm(near - exact) < 0.1 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    'make',
    [
        lambda dtype: layers.Convolution(4, 3, padding=1, dtype=dtype),
        lambda dtype: layers.TransposedConvolution(4, dtype=dtype),
        lambda dtype: layers.Dense(4, dtype=dtype),
        lambda dtype: normalization.LearntNorm(),
        lambda dtype: normalization.StyledNorm(),
    ],
    ids=['convolution', 'transposed convolution', 'linear layer', 'learnt norm', 'styled norm'],
)
def test_biases_and_scales_have_their_gradients_in_bfloat16(make):
    """Sums of like terms over all places: those in bfloat16 stop at some 2048 of 4096 and more."""
    x, style = _images((1, 64, 64, 3)), jnp.ones((1, 2))
    found = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        module, images = make(dtype), x.astype(dtype)
        given = (images, style.astype(dtype)) if isinstance(module, normalization.StyledNorm) else (images,)
        params = module.init(jax.random.key(0), *given)

        def loss(params, module=module, given=given):
            y = module.apply(params, *given)
            return (0.5 * jnp.square(y) + y).astype(jnp.float32).sum()

        gradients = jax.jit(jax.grad(loss))(params)['params']
        gradients.pop('kernel', None)
        found[dtype] = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradients)])
    large = np.abs(found[jnp.float32]) > 1_000  # behind a norm nearly all are: of N(x)^2 and of 1
    assert large.mean() > 0.6
    np.testing.assert_allclose(found[jnp.bfloat16][large], found[jnp.float32][large], rtol=0.03)
