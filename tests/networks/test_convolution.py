"""Convolutions in every form against the plain ones, gradients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.networks import convolution, layers, normalization, plain_convolution, winograd


def normal(seed, shape):
    """Numbers that no program need be compiled for, as JAX does for each shape."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


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
        # The forms of accelerators.
        (convolution.transpose, _dilated, 3),
        (convolution.transpose, _dilated, 4),
        (convolution.upsample_by_transpose, _upsampled, 3),
    ],
)
@pytest.mark.parametrize('height', [6, 2])  # many pixels and few
def test_rewritten_convolution_equals_the_plain_one(function, plain, size, height):
    images = normal(0, (2, height, 8, 3))
    kernel = normal(1, (size, size, 3, 4))

    for ours, theirs in zip(
        _derivatives(function, images, kernel), _derivatives(plain, images, kernel), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def _derivatives(function, images, kernel):
    """The value, both gradients, and the gradients of a gradient penalty with respect to both."""

    def penalty(x, k):
        return jnp.square(jax.grad(lambda z: jnp.tanh(function(z, k) / 9).sum())(x)).sum()

    @jax.jit
    def derivatives(x, k):
        value, pullback = jax.vjp(function, x, k)
        weights = normal(2, value.shape)
        return value, *pullback(weights), *jax.grad(penalty, (0, 1))(x, k)

    return derivatives(images, kernel)


# Each line is a form that the CPU has of its own, or the border to it.
@pytest.mark.parametrize(
    ('size', 'kernel', 'stride', 'padding'),
    [
        ((18, 16), (3, 3, 5, 6), 1, 1),
        ((18, 16), (3, 3, 5, 6), 1, 0),
        ((17, 17), (3, 3, 3, 6), 1, 2),
        ((17, 19), (7, 7, 5, 3), 1, 0),  # to few channels
        ((17, 19), (7, 7, 3, 5), 1, 3),  # from few channels
        ((15, 15), (4, 4, 6, 1), 1, 1),
        ((7, 8), (1, 1, 5, 6), 1, 0),
        ((16, 15), (2, 1, 3, 3), 1, 0),
        ((24, 18), (4, 4, 5, 6), 2, 1),  # strided
        ((24, 18), (3, 3, 5, 6), 2, 1),
        ((64, 72), (4, 4, 3, 6), 2, 1),  # on many pixels
        ((64, 64), (3, 3, 5, 3), 2, 1),
        ((65, 66), (4, 4, 3, 5), 2, 1),
        ((33, 35), (3, 3, 3, 5), 2, 1),
        ((6, 5), (4, 4, 5, 6), 1, 1),  # to few pixels
        ((8, 7), (4, 4, 5, 6), 2, 1),
        ((7, 8), (3, 3, 5, 6), 2, 1),
        ((2, 2), (4, 4, 5, 6), 2, 1),
        ((4, 4), (4, 4, 5, 6), 1, 0),  # a single place
    ],
)
def test_convolution_and_its_derivatives_of_both_orders(size, kernel, stride, padding):
    _check_derivatives(size, kernel, stride, padding, scale=1.0)


# As many channels as make the CPU take Winograd's filtering; weights as large as layers of that width have them.
@pytest.mark.parametrize(
    ('size', 'kernel', 'padding'),
    [((18, 18), (3, 3, 256, 256), 0), ((17, 16), (3, 3, 128, 160), 1), ((18, 18), (4, 4, 128, 128), 1)],
)
def test_wide_convolution_and_its_derivatives_of_both_orders(size, kernel, padding):
    _check_derivatives(size, kernel, 1, padding, scale=np.prod(kernel[:3]) ** -0.5)


def _check_derivatives(size, kernel, stride, padding, scale):
    images = normal(0, (2, *size, kernel[2]))
    weights = scale * normal(1, kernel)

    def ours(x, k):
        return convolution.convolve(x, k, stride=stride, padding=padding)

    def plain(x, k):
        return plain_convolution.forward(x, k, stride=stride, padding=padding)

    for value, expected in zip(
        _derivatives(ours, images, weights), _derivatives(plain, images, weights), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize('size', [(10, 7), (70, 33)])  # in one piece and in bands
@pytest.mark.parametrize('taps', [2, 3, 4])
def test_winograd_s_filtering(size, taps):
    images = normal(0, (2, *size, 5))
    kernel = normal(1, (taps, taps, 5, 4))
    y, pullback = jax.vjp(lambda x, k: plain_convolution.forward(x, k, stride=1, padding=1), images, kernel)
    gradient = normal(2, y.shape)
    of_images, of_kernel = pullback(gradient)
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    size = (taps, taps)
    for ours, theirs in (
        (winograd.forward(images, kernel, padding=1), y),
        (winograd.images_gradient(gradient, kernel, padding=1), of_images),
        (winograd.kernel_gradient(padded, gradient, kernel_size=size), of_kernel),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * float(abs(theirs).max()))


def test_half_the_products_on_cpus_in_float32_only():
    def flops(dtype):
        images, kernel = jnp.zeros((1, 34, 34, 256), dtype), jnp.zeros((3, 3, 256, 256))
        program = jax.jit(lambda x, k: convolution.convolve(x, k)).lower(images, kernel).compile()
        return program.cost_analysis()['flops']

    direct = 2 * 9 * 32 * 32 * 256**2
    assert flops(jnp.float32) < 0.6 * direct
    assert flops(jnp.bfloat16) > 0.9 * direct


def test_accelerators_get_the_plain_convolution():
    images, kernel = jnp.zeros((1, 32, 32, 8)), jnp.zeros((4, 4, 8, 8))

    def lowered(function, platform):
        gradient = jax.jit(jax.grad(lambda x, k: function(x, k).sum(), (0, 1)))
        return gradient.trace(images, kernel).lower(lowering_platforms=(platform,)).as_text()

    def ours(x, k):
        return convolution.convolve(x, k, stride=2, padding=1)

    def plain(x, k):
        return plain_convolution.forward(x, k, stride=2, padding=1)

    for platform in ('cuda', 'tpu'):
        # The gradient of a sum: no forward pass is left in it.
        assert 'pad' not in lowered(ours, platform).replace('pad =', '').replace('padding', '')
        assert lowered(ours, platform).count('stablehlo.convolution') == 2
    assert 'stablehlo.pad' in lowered(ours, 'cpu')
    assert lowered(plain, 'cuda').count('stablehlo.convolution') == 2


def test_resampling():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(layers.average_pool(x)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(layers.upsample_nearest(x)[0, :2, :4, 0], [[0, 0, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(layers.reflection_pad(x, 1)[0, 0, :, 0], [5, 4, 5, 6, 7, 6])


def test_instance_norm_is_per_image_and_channel():
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3)) * jnp.array([1.0, 5.0, 20.0]) + 3
    y = normalization.normalize_instances(x)
    np.testing.assert_allclose(y.mean((1, 2)), np.zeros((2, 3)), atol=1e-5)
    np.testing.assert_allclose(y.var((1, 2)), np.ones((2, 3)), rtol=1e-3)
    assert normalization.normalize_instances(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
