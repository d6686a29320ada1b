"""How sure a measured number is: 95 % intervals from the images at hand."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

NORMAL_95 = 1.96  # deviations on either side


class Interval(NamedTuple):
    """The ends of a 95 % interval."""

    low: float
    high: float


def of_mean(values: Float[np.ndarray, 'n'], *, share: bool = False) -> Interval | None:
    """Returns the interval of a mean over images; None for one image, which tells nothing of others.

    Student's; Wilson's (1927) for a share, whose values are 0 and 1, where Student's has no width if all agree and
    leaves [0, 1] near the ends.
    """
    count, mean = len(values), float(values.mean())
    if count < 2:
        return None
    if share and np.isin(values, (0, 1)).all():
        squared = NORMAL_95**2 / count
        centre = (mean + squared / 2) / (1 + squared)
        reach = np.sqrt(squared * mean * (1 - mean) + squared**2 / 4) / (1 + squared)
        return Interval(float(min(centre - reach, mean)), float(max(centre + reach, mean)))
    reach = float(scipy.special.stdtrit(count - 1, 0.975) * values.std(ddof=1) / np.sqrt(count))
    return Interval(mean - reach, mean + reach)


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
    # Of an odd number the lesser half is drawn, which spreads more than what is left out.
    kept = np.sqrt(np.mean([(size // 2) / (size - size // 2) for size in sizes]))
    reach = {
        name: NORMAL_95 * float(kept * np.std([half[name] for half in halves], ddof=1)) for name in values
    }
    return {name: Interval(value - reach[name], value + reach[name]) for name, value in values.items()}
