"""Sets of images compared by their features: kernel and Fréchet distance, precision to coverage, with intervals."""

from typing import NamedTuple

import numpy as np

from gan_transfer.evaluation.protocols import NEIGHBOURS, SMALLEST_SET
from gan_transfer.metrics import frechet, intervals, kernel, neighbours


class Comparison(NamedTuple):
    """Measures by name, and the ends of their 95 % intervals."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def compare(real: np.ndarray, generated: np.ndarray, features: str, resamples: int) -> Comparison:
    """Compares two sets of features [n, d] by every measure of sets.

    Args:
      features: the end of the distances' names.
      resamples: halves of the sets that intervals are estimated from.

    Raises:
      ValueError: for sets too small: `SMALLEST_SET` images on each side are needed.
    """

    def measure(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        values = {
            f'kid_{features}': kernel.distance(real[a], generated[b]).value,
            f'fid_{features}': frechet.of_features(real[a], generated[b]),
        }
        # Halves of a small set have too few neighbours.
        near = min(5, min(len(a), len(b)) - 1)
        return {**values, **neighbours.compare(real[a], generated[b], near)._asdict()}

    for side in (real, generated):
        if len(side) < SMALLEST_SET:
            raise ValueError(f'sets of {SMALLEST_SET} images and more can be compared, one has {len(side)}')
    whole = np.arange(len(real)), np.arange(len(generated))
    values = measure(*whole)
    ends = intervals.of_statistics(measure, values, (len(real), len(generated)), resamples)
    bounded = {
        name: (
            max(end.low, 0.0) if name in NEIGHBOURS else end.low,
            min(end.high, 1.0) if name in NEIGHBOURS and name != 'density' else end.high,
        )
        for name, end in ends.items()
    }
    return Comparison(values, bounded)
