"""Rewritten convolutions against the plain forms, gradients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.networks import convolution, layers


def _dilated(images, kernel):
    """The transposed convolution as the textbook has it: zeros between the pixels, kernel flipped."""
    padding = {3: (1, 2), 4: (2, 2)}[len(kernel)]
    return jax.lax.conv_general_dilated(
        images,
        kernel[::-1, ::-1],
        (1, 1),
        (padding, padding),
        lhs_dilation=(2, 2),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def _then_average(images, kernel):
    return layers.average_pool(convolution.convolve(images, kernel, padding=1))


def _upsampled(images, kernel):
    return convolution.convolve(layers.upsample_nearest(images), kernel, padding=1)


@pytest.mark.parametrize(
    ('function', 'plain', 'size'),
    [
        (convolution.transposed_convolve_3x3, _dilated, 3),
        (convolution.transposed_convolve_4x4, _dilated, 4),
        (convolution.convolve_3x3_then_average, _then_average, 3),
        (convolution.upsample_then_convolve_3x3, _upsampled, 3),
    ],
)
def test_rewritten_convolution_equals_the_plain_one(function, plain, size):
    images = jax.random.normal(jax.random.key(0), (2, 6, 8, 3))
    kernel = jax.random.normal(jax.random.key(1), (size, size, 3, 4))

    def results(f):
        value, pullback = jax.vjp(f, images, kernel)
        weights = jax.random.normal(jax.random.key(2), value.shape)
        squared = jax.grad(
            lambda x: jnp.square(jax.grad(lambda z: jnp.tanh(f(z, kernel) / 9).sum())(x)).sum()
        )
        second = squared(images)
        return value, *pullback(weights), second

    for ours, theirs in zip(results(function), results(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_resampling():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(layers.average_pool(x)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(layers.upsample_nearest(x)[0, :2, :4, 0], [[0, 0, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(layers.reflection_pad(x, 1)[0, 0, :, 0], [5, 4, 5, 6, 7, 6])


def test_instance_norm_is_per_image_and_channel():
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3)) * jnp.array([1.0, 5.0, 20.0]) + 3
    y = layers.normalize_instances(x)
    np.testing.assert_allclose(y.mean((1, 2)), np.zeros((2, 3)), atol=1e-5)
    np.testing.assert_allclose(y.var((1, 2)), np.ones((2, 3)), rtol=1e-3)
    assert layers.normalize_instances(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
