"""How sure a measured number is: 95 % intervals from the images at hand, by drawing anew from them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

NORMAL_95 = 1.96  # deviations on either side


class Interval(NamedTuple):
    """The ends of a 95 % interval."""

    low: float
    high: float


def of_mean(values: Float[np.ndarray, 'n'], resamples: int, seed: int = 0) -> Interval:
    """Returns the interval of a mean over images: percentiles of `resamples` bootstrapped means (Efron 1979)."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    return Interval(*(float(x) for x in np.percentile(means, (2.5, 97.5))))


def of_statistics(
    statistics: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    values: dict[str, float],
    sizes: tuple[int, int],
    resamples: int,
    seed: int = 0,
) -> dict[str, Interval]:
    """Returns the intervals of measures that compare two sets of images, from half of each set at a time.

    An image drawn twice would be its own neighbour and would bias Fréchet's and the kernel's distance, so nothing is
    drawn twice: halves without replacement, whose spread estimates that of the whole (the delete-d jackknife with
    half left out, Shao and Wu 1989, equation 2.3).

    Args:
      statistics: the measures by name, of the images that two arrays of indices choose.
      values: the measures of all images, the centres of the intervals.
      sizes: how many images there are on each side.
      resamples: how many halves.
      seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    halves = [
        statistics(*(np.sort(rng.permutation(size)[: size // 2]) for size in sizes)) for _ in range(resamples)
    ]
    reach = {name: NORMAL_95 * float(np.std([half[name] for half in halves])) for name in values}
    return {name: Interval(value - reach[name], value + reach[name]) for name, value in values.items()}
