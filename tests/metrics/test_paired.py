"""The paired measures against scikit-image's numbers, and their bookkeeping."""

import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer.metrics import paired
from tests.reference import cases


def test_reference_case():
    arrays = cases.load('paired_metrics').arrays
    a, b = jnp.array(arrays['a'][None]), jnp.array(arrays['b'][None])
    np.testing.assert_allclose(paired.ssim(a, b), [arrays['ssim']], rtol=1e-4)
    np.testing.assert_allclose(paired.psnr(a, b), [arrays['psnr']], rtol=1e-4)
    expected = np.abs(arrays['a'] - arrays['b']).mean()
    np.testing.assert_allclose(paired.absolute_error(a, b), [expected], rtol=1e-5)


def test_equal_images():
    a = jnp.array(np.random.default_rng(0).random((2, 16, 16, 3), np.float32))
    np.testing.assert_allclose(paired.ssim(a, a), 1, rtol=1e-6)
    np.testing.assert_allclose(paired.psnr(a, a), 100, rtol=1e-5)
    np.testing.assert_array_equal(paired.absolute_error(a, a), 0)


def test_too_small_images_are_refused():
    a = jnp.zeros((1, 10, 32, 3))
    with pytest.raises(ValueError, match='11 px'):
        paired.ssim(a, a)
