"""Sets of images compared by their features: kernel and Fréchet distance, precision to coverage, with intervals."""

from typing import NamedTuple

import numpy as np

from gan_transfer.evaluation.protocols import NEIGHBOURS, SMALLEST_SET
from gan_transfer.metrics import frechet, intervals, kernel, neighbours

NEAR = (
    5  # which neighbour's distance is the radius of precision to coverage; fewer where a set has not so many
)


class Comparison(NamedTuple):
    """Measures by name, the ends of their 95 % intervals, and the standard error of the kernel distance."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    standard_errors: dict[str, float]


def compare(real: np.ndarray, generated: np.ndarray, features: str, resamples: int) -> Comparison:
    """Compares two sets of features by every measure of sets.

    Args:
      real: [n, d].
      generated: [m, d], or [k, m, d] for k outputs of each of m sources: a half of them is all outputs of half of the
        sources, as outputs of one source are no independent images.
      features: the end of the distances' names.
      resamples: halves of the sets that intervals are estimated from.

    Raises:
      ValueError: for sets too small: `SMALLEST_SET` images on each side are needed.
    """
    generated = generated[None] if generated.ndim == 2 else generated

    def measure(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
        ours, theirs = real[a], np.concatenate(generated[:, b])
        values = {
            f'kid_{features}': kernel.distance(ours, theirs).value,
            f'fid_{features}': frechet.of_features(ours, theirs),
        }
        # Halves of a small set have too few neighbours.
        near = min(NEAR, min(len(ours), len(theirs)) - 1)
        return {**values, **neighbours.compare(ours, theirs, near)._asdict()}

    for count in (len(real), generated.shape[1]):
        if count < SMALLEST_SET:
            raise ValueError(f'sets of {SMALLEST_SET} images and more can be compared, one has {count}')
    whole = np.arange(len(real)), np.arange(generated.shape[1])
    values = measure(*whole)
    error = kernel.distance(real, np.concatenate(generated)).standard_error
    ends = intervals.of_statistics(measure, values, (len(real), generated.shape[1]), resamples)
    bounded = {
        name: (
            max(end.low, 0.0) if name in NEIGHBOURS else end.low,
            min(end.high, 1.0) if name in NEIGHBOURS and name != 'density' else end.high,
        )
        for name, end in ends.items()
    }
    return Comparison(values, bounded, {f'kid_{features}': error})
