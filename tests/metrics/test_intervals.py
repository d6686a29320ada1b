"""Intervals cover what they should, about as often as they should, for means and for measures of two sets."""

import numpy as np
import pytest

from gan_transfer.metrics import frechet, intervals, kernel

TRIALS = 60


def coverage(make, truth, trials=TRIALS):
    """The share of trials whose interval has the truth in it."""
    return np.mean([low <= truth <= high for low, high in map(make, range(trials))])


@pytest.mark.parametrize('count', [3, 10, 80])
def test_of_a_mean(count):
    def make(trial):
        return intervals.of_mean(np.random.default_rng(trial).normal(2.0, size=count))

    assert 0.9 <= coverage(make, 2.0, trials=400) <= 0.99


def test_the_interval_of_a_mean_is_student_s():
    half = 4.30265 / 3**0.5  # its 97.5 % quantile of two degrees of freedom
    assert intervals.of_mean(np.arange(3.0)) == pytest.approx((1 - half, 1 + half), rel=1e-4)


def test_halves_of_a_mean_scatter_as_the_whole_does():
    values = np.random.default_rng(0).normal(size=400)

    def measure(a, _):
        return {'mean': values[a].mean()}

    low, high = intervals.of_statistics(measure, {'mean': values.mean()}, (400, 9), resamples=2000)['mean']
    assert (high - low) / 2 == pytest.approx(1.96 * values.std(ddof=1) / 20, rel=0.05)


def test_an_odd_number_of_images_and_few_halves_make_no_other_width():
    values = np.random.default_rng(0).normal(size=7)

    def width(resamples, seed):
        def measure(a, _):
            return {'mean': values[a].mean()}

        ends = intervals.of_statistics(measure, {'mean': 0.0}, (7, 7), resamples, seed)['mean']
        return ends.high**2

    wanted = (1.96 * values.std(ddof=1)) ** 2 / 7
    assert width(4000, 0) == pytest.approx(wanted, rel=0.05)
    assert np.mean([width(2, seed) for seed in range(2000)]) == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize(('count', 'share'), [(8, 0.1), (30, 0.5), (338, 0.005)])
def test_of_a_share(count, share):
    def make(trial):
        hits = np.random.default_rng(trial).random(count) < share
        return intervals.of_mean(hits.astype(np.float64), share=True)

    assert 0.9 <= coverage(make, share, trials=400) <= 1


def test_one_image_tells_nothing_of_others_and_a_share_stays_one():
    assert intervals.of_mean(np.ones(1)) is None
    assert intervals.of_mean(np.zeros(9)) == (0, 0), 'distances, all of them nothing'
    low, high = intervals.of_mean(np.zeros(100), share=True)
    assert low == 0
    assert 0.02 < high < 0.05
    low, high = intervals.of_mean(np.ones(100), share=True)
    assert 0.95 < low < 0.98
    assert high == 1


def test_of_a_kernel_distance():
    def sample(trial, side):
        return np.random.default_rng([trial, side]).normal(loc=0.5 * side, size=(60, 8))

    truth = np.mean([kernel.distance(sample(t + 1000, 0), sample(t + 1000, 1)).value for t in range(200)])

    def make(trial):
        real, generated = sample(trial, 0), sample(trial, 1)

        def measure(a, b):
            return {'kid': kernel.distance(real[a], generated[b]).value}

        whole = np.arange(60)
        return intervals.of_statistics(measure, measure(whole, whole), (60, 60), resamples=40)['kid']

    assert 0.8 <= coverage(make, truth) <= 1


@pytest.mark.parametrize('sizes', [(12, 9), (9, 12), (40, 30), (12, 30)])
def test_frechet_distance_of_features_is_that_of_their_moments(sizes):
    """Also with fewer images than dimensions, where rounding leaves the moments fewer digits."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, 16)).astype(np.float32) + i for i, n in enumerate(sizes))
    expected = frechet.distance(frechet.moments(a), frechet.moments(b))
    np.testing.assert_allclose(frechet.of_features(a, b), expected, rtol=1e-6)
