"""Sets of images compared by their features: kernel and Fréchet distance, precision to coverage, with intervals."""

from typing import NamedTuple

import numpy as np

from gan_transfer.evaluation.protocols import NEIGHBOURS, SMALLEST_SET
from gan_transfer.metrics import frechet, intervals, kernel, neighbours

# Which neighbour's distance is the radius of precision to coverage; fewer where a set has not so many.
NEAR = 5


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

    def measure(a: np.ndarray, b: np.ndarray) -> tuple[dict[str, float], float]:
        ours, theirs = real[a], np.concatenate(generated[:, b])
        kid = kernel.distance(ours, theirs)
        values = {f'kid_{features}': kid.value, f'fid_{features}': frechet.of_features(ours, theirs)}
        # Halves of a small set have too few neighbours.
        near = min(NEAR, min(len(ours), len(theirs)) - 1)
        return {**values, **neighbours.compare(ours, theirs, near)._asdict()}, kid.standard_error

    counts = len(real), generated.shape[1]
    for count in counts:
        if count < SMALLEST_SET:
            raise ValueError(f'sets of {SMALLEST_SET} images and more can be compared, one has {count}')
    values, error = measure(*map(np.arange, counts))
    ends = intervals.of_statistics(lambda a, b: measure(a, b)[0], values, counts, resamples)
    bounded = {
        name: (
            max(end.low, 0.0) if name in NEIGHBOURS else end.low,
            min(end.high, 1.0) if name in NEIGHBOURS and name != 'density' else end.high,
        )
        for name, end in ends.items()
    }
    return Comparison(values, bounded, {f'kid_{features}': error})
