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

    Several outputs of a source are no independent images: they would be each other's neighbours, and bias the kernel
    distance, which takes pairs of a set to be. Of them Fréchet's distance is taken alone, as StarGAN v2 does.

    Args:
      real: [n, d].
      generated: [m, d], or [k, m, d] for k outputs of each of m sources: a half of them is all outputs of half of the
        sources.
      features: the end of the distances' names.
      resamples: halves of the sets that intervals are estimated from; 0: no intervals.

    Raises:
      ValueError: for sets too small: `SMALLEST_SET` images on each side are needed.
    """
    generated = generated[None] if generated.ndim == 2 else generated
    several = len(generated) > 1

    def measure(a: np.ndarray, b: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
        ours, theirs = real[a], np.concatenate(generated[:, b])
        values = {f'fid_{features}': frechet.of_features(ours, theirs)}
        if several:
            return values, {}
        name, kid = f'kid_{features}', kernel.distance(ours, theirs)
        # Halves of a small set have too few neighbours.
        near = min(NEAR, min(len(ours), len(theirs)) - 1)
        values = {name: kid.value, **values, **neighbours.compare(ours, theirs, near)._asdict()}
        return values, {name: kid.standard_error}

    counts = len(real), generated.shape[1]
    for count in counts:
        if count < SMALLEST_SET:
            raise ValueError(f'sets of {SMALLEST_SET} images and more can be compared, one has {count}')
    values, errors = measure(*map(np.arange, counts))
    if not resamples:
        return Comparison(values, {}, errors)
    ends = intervals.of_statistics(lambda a, b: measure(a, b)[0], values, counts, resamples)
    if min(counts) // 2 <= 2 * NEAR:
        # Everything is in reach of the last neighbour: halves would hardly differ, and look certain.
        ends = {name: end for name, end in ends.items() if name not in NEIGHBOURS}
    bounded = {
        name: (
            max(end.low, 0.0) if name in NEIGHBOURS else end.low,
            min(end.high, 1.0) if name in NEIGHBOURS and name != 'density' else end.high,
        )
        for name, end in ends.items()
    }
    return Comparison(values, bounded, errors)
