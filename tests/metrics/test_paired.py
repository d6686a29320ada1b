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


@pytest.mark.parametrize('length', [1, 3, 5, 8])
def test_means_do_not_depend_on_the_batch(length):
    """Rows that only fill the last batch count for nothing."""
    generator = np.random.default_rng(0)
    source, truth = generator.integers(0, 256, (2, 5, 16, 16, 3), np.uint8)

    def pairs():
        for start in range(0, 5, length):
            rows = [min(i, 4) for i in range(start, start + length)]
            yield paired.Pairs({'source': source[rows]}, truth[rows], min(length, 5 - start))

    result = paired.compare(
        lambda batch: 255 - batch['source'], pairs(), lambda a, b: np.float32((a != b).any((1, 2, 3)))
    )
    assert result.count == 5
    expected = np.abs(source / 255 - truth / 255).mean()
    assert result.source['absolute_error'] == pytest.approx(expected, rel=1e-5)
    assert result.translated['lpips_alexnet'] == 1
    expected = np.abs(1 - source / 255 - truth / 255).mean()
    assert result.translated['absolute_error'] == pytest.approx(expected, rel=1e-5)


def test_nothing_to_compare():
    with pytest.raises(ValueError, match='no pairs'):
        paired.compare(lambda batch: batch['source'], [], lambda a, b: np.zeros(len(a)))
