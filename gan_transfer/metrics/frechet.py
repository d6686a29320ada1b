"""Fréchet distance of features: FID where the features are those of FID's Inception (Heusel et al. 2017, equation 6).

By count, mean and scatter of each set, in float64 on the host: sets that come in batches of any size can be merged, and
batch size and number of devices change no digit that counts.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

Features = Float[np.ndarray, 'n d']
Others = Float[np.ndarray, 'm d']  # as many numbers an image, from as many images as there are
BLOCK = 4096  # images that are taken to float64 at a time


class Moments(NamedTuple):
    """What is kept of a set of features.

    Attributes:
      count: how many.
      mean: their mean.
      scatter: the sum of the outer products of their differences from the mean.
    """

    count: int
    mean: Float64[np.ndarray, 'd']
    scatter: Float64[np.ndarray, 'd d']


def moments(features: Features) -> Moments:
    """Returns the moments of a set; `merge` puts sets together."""
    parts = (_moments(features[i : i + BLOCK]) for i in range(0, len(features), BLOCK))
    return functools.reduce(merge, parts)


def _moments(features: Features) -> Moments:
    features = np.asarray(features, np.float64)
    mean = features.mean(0)
    centred = features - mean
    return Moments(len(features), mean, centred.T @ centred)


def merge(a: Moments, b: Moments) -> Moments:
    """Returns the moments of both sets (Chan et al. 1979, equation 2.1)."""
    count = a.count + b.count
    gap = b.mean - a.mean
    scatter = a.scatter + b.scatter + np.outer(gap, gap) * (a.count * b.count / count)
    return Moments(count, a.mean + gap * (b.count / count), scatter)


def distance(a: Moments, b: Moments) -> float:
    """Returns |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), with the unbiased covariances A and B.

    The eigenvalues of A B are those of A^(1/2) B A^(1/2), which is symmetric: real, and not negative but for rounding,
    also where there are fewer features than dimensions. Biased upwards by so few: compare equal counts only.

    Raises:
      ValueError: for fewer than two features, of which there is no covariance.
    """
    for each in (a, b):
        if each.count < 2:
            raise ValueError(f'the Fréchet distance needs two images and more on each side, got {each.count}')
    first, second = (each.scatter / (each.count - 1) for each in (a, b))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(np.square(a.mean - b.mean).sum() + np.trace(first) + np.trace(second) - 2 * shared)


def of_features(a: Features, b: Others) -> float:
    """Returns the distance of two sets of features that are at hand; the same as by their moments.

    With fewer images than dimensions on a side (A B)^(1/2) is found among the images instead: its trace is the sum of
    the singular values of X Y^T / sqrt((n - 1)(m - 1)), X and Y being the centred features.

    Raises:
      ValueError: as `distance`.
    """
    if not 2 <= min(len(a), len(b)) <= a.shape[1]:
        return distance(moments(a), moments(b))
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    gap = np.square(a.mean(0) - b.mean(0)).sum()
    x, y = ((side - side.mean(0)) / np.sqrt(len(side) - 1) for side in (a, b))
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(gap + np.square(x).sum() + np.square(y).sum() - 2 * shared)
