"""How well generated features cover the real ones and stay among them, by nearest neighbours.

Precision and recall: Kynkäänniemi et al. 2019, equation 1; density and coverage: Naeem et al. 2020, section 3.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

Features = Float[np.ndarray, 'n d']
Others = Float[np.ndarray, 'm d']  # as many numbers an image, from as many images as there are
ROWS = 256  # of a matrix of distances at a time


class Neighbours(NamedTuple):
    """Shares in [0, 1], but for the density, which may exceed 1.

    Attributes:
      precision: of the generated images, those within some real image's reach.
      recall: of the real images, those within some generated image's reach.
      density: real images whose reach a generated image is in, on average, over the number of neighbours.
      coverage: of the real images, those with a generated image in reach.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def compare(real: Features, generated: Others, neighbours: int = 5) -> Neighbours:
    """Compares sets of features; the reach of an image is the distance of its fifth neighbour in its own set.

    Raises:
      ValueError: when a set has no more images than `neighbours`.
    """
    for features in (real, generated):
        if len(features) <= neighbours:
            raise ValueError(f'{neighbours} neighbours need more images than that, got {len(features)}')
    real, generated = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    real_reach, generated_reach = _reach(real, neighbours), _reach(generated, neighbours)
    in_reach, covering = np.zeros(len(generated)), np.zeros(len(real), bool)
    recalled = np.zeros(len(real), bool)
    for start in range(0, len(real), ROWS):
        rows = slice(start, start + ROWS)
        distances = _distances(real[rows], generated)
        inside = distances < real_reach[rows, None]
        in_reach += inside.sum(0)
        covering[rows] = inside.any(1)
        recalled[rows] = (distances < generated_reach).any(1)
    return Neighbours(
        precision=float((in_reach > 0).mean()),
        recall=float(recalled.mean()),
        density=float(in_reach.mean() / neighbours),
        coverage=float(covering.mean()),
    )


def nearest(queries: Features, candidates: Others, count: int = 1) -> np.ndarray:
    """Returns the indices [n, count] of the candidates with the largest cosine to each query, nearest first."""
    smallest = np.finfo(np.float32).tiny  # where all features are 0, every cosine is
    a, b = (
        np.asarray(x, np.float64) / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), smallest)
        for x in (queries, candidates)
    )
    return np.argsort(-(a @ b.T), axis=1, kind='stable')[:, :count]


def _reach(features: Float64[np.ndarray, 'n d'], neighbours: int) -> Float64[np.ndarray, 'n']:
    """Returns the distance of each image's n-th neighbour; the nearest of all is the image itself."""
    reach = np.empty(len(features))
    for start in range(0, len(features), ROWS):
        distances = _distances(features[start : start + ROWS], features)
        reach[start : start + ROWS] = np.partition(distances, neighbours, axis=1)[:, neighbours]
    return reach


def _distances(a: Float64[np.ndarray, 'n d'], b: Float64[np.ndarray, 'm d']) -> Float64[np.ndarray, 'n m']:
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return np.sqrt(squared.clip(0))
