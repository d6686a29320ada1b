"""Metrics of sets of features against published code's values and against closed forms."""

import tracemalloc

import numpy as np
import pytest

from gan_transfer.metrics import frechet, kernel, neighbours
from tests.reference import cases


@pytest.fixture(scope='module')
def case():
    return cases.load('distribution_metrics').arrays


def moments_in_batches(features, size):
    total, *rest = [frechet.moments(features[i : i + size]) for i in range(0, len(features), size)]
    for batch in rest:
        total = frechet.merge(total, batch)
    return total


@pytest.mark.parametrize('size', [1, 7, 64, 1000])
def test_frechet_distance_is_the_original_s_in_any_batches(case, size):
    found = frechet.distance(*(moments_in_batches(case[name], size) for name in ('real', 'fake')))
    np.testing.assert_allclose(found, case['frechet'], rtol=1e-6)


def test_frechet_distance_of_few_images_with_many_features():
    few, shifted = np.random.default_rng(0).normal(size=(5, 40)), np.zeros(40)
    shifted[0] = 3
    a, b = frechet.moments(few), frechet.moments(few + shifted)
    np.testing.assert_allclose(frechet.distance(a, a), 0, atol=1e-5)  # roots of rounding
    np.testing.assert_allclose(frechet.distance(a, b), 9, rtol=1e-6)
    with pytest.raises(ValueError, match='got 1'):
        frechet.distance(a, frechet.moments(few[:1]))


def test_a_large_common_offset_costs_no_digits(case):
    """Sums of squares would lose them."""
    real, fake = (moments_in_batches(case[name] + 1e5, 50) for name in ('real', 'fake'))
    np.testing.assert_allclose(frechet.distance(real, fake), case['frechet'], rtol=1e-5)


def test_kernel_distance_is_the_original_s(case):
    found = kernel.distance(case['real'][: len(case['fake'])], case['fake'])
    np.testing.assert_allclose(found.value, case['mmd'], rtol=1e-6)


def test_distances_need_no_more_memory_than_blocks_of_features():
    """Of 6,000 images a whole matrix of the kernel, or of distances, would be 288 MB."""
    sides = np.random.default_rng(0).normal(size=(2, 6_000, 16)).astype(np.float32)
    for compare in (kernel.distance, frechet.of_features, neighbours.compare):
        tracemalloc.start()
        compare(*sides)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6, compare


def test_kernel_distance_is_the_same_in_blocks(case, monkeypatch):
    whole = kernel.distance(case['real'], case['fake'])
    monkeypatch.setattr(kernel, 'BLOCK', 7)
    np.testing.assert_allclose(kernel.distance(case['real'], case['fake']), whole, rtol=1e-8)


def kernel_distances(shift, draws):
    """Values and standard errors between samples of two normal distributions that lie `shift` apart."""
    samples = np.random.default_rng(0).normal(size=(draws, 2, 30, 4))
    return np.array([kernel.distance(a, b[:20] + shift) for a, b in samples]).T


def test_kernel_distance_is_unbiased():
    values, _ = kernel_distances(0, 300)
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    (value,), (error,) = kernel_distances(3, 1)
    assert value > 4 * error


@pytest.mark.parametrize(('shift', 'ratio'), [(0, 2**0.5), (2, 1.0)])
def test_kernel_distance_knows_its_error(shift, ratio):
    """Estimates scatter as wide as their standard errors say.

    Between samples of one distribution nothing but products of two images is left, whose variance the jackknife counts
    twice (Efron and Stein 1981).
    """
    values, errors = kernel_distances(shift, 4000)
    assert np.sqrt(np.square(errors).mean()) / values.std() == pytest.approx(ratio, rel=0.08)


@pytest.mark.parametrize('rows', [1024, 33])
def test_neighbours_are_the_original_s(case, rows, monkeypatch):
    monkeypatch.setattr(neighbours, 'ROWS', rows)
    found = neighbours.compare(case['real'], case['fake'])
    for name, value in found._asdict().items():
        np.testing.assert_allclose(value, case[name], rtol=1e-6, err_msg=name)


def test_neighbours_of_the_extremes():
    real = np.random.default_rng(0).normal(size=(50, 3))
    assert neighbours.compare(real, real) == (1.0, 1.0, pytest.approx(1, abs=0.25), 1.0)
    assert neighbours.compare(real, real + 100) == (0.0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match='5 neighbours need more images than that, got 5'):
        neighbours.compare(real, real[:5])


def test_nearest_is_by_angle():
    candidates = np.array([[1.0, 0.0], [10.0, 10.0], [0.0, 0.1]])
    np.testing.assert_array_equal(
        neighbours.nearest(np.array([[2.0, 0.1], [0.0, 3.0]]), candidates, 2), [[0, 1], [2, 1]]
    )
