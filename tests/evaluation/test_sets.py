"""Intervals of measures of sets: which are told, and that they end where the measures do."""

import numpy as np
import pytest

from gan_transfer.evaluation import sets
from gan_transfer.evaluation.protocols import NEIGHBOURS


@pytest.mark.parametrize(('count', 'told'), [(21, False), (22, True)])
def test_neighbours_of_small_sets_have_no_intervals(count, told):
    real, generated = np.random.default_rng(0).normal(size=(2, count, 4))
    found = sets.compare(real, generated, 'x', 5)
    assert set(found.values) - set(found.intervals) == (set() if told else set(NEIGHBOURS))


@pytest.mark.parametrize(('shift', 'end', 'reached'), [(0.0, 1, 1.0), (2.5, 0, 0.0)])
def test_intervals_end_where_a_share_does(shift, end, reached):
    """What is near reaches the upper end, what is far the lower one; density is no share, and may be above."""
    real, generated = np.random.default_rng(0).normal(size=(2, 30, 4))
    ends = sets.compare(real, generated + shift, 'x', 20).intervals
    for name in NEIGHBOURS:
        assert ends[name][0] >= 0
        assert ends[name][1] <= 1 or name == 'density'
    assert ends['precision'][end] == reached
    assert ends['density'][1] > 1 or shift
