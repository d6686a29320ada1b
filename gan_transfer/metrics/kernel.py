"""Kernel distance of features: KID where the features are those of FID's Inception (Binkowski et al. 2018).

Unbiased for any number of images, so the headline where test sets are small.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

Features = Float[np.ndarray, 'n d']
Others = Float[np.ndarray, 'm d']  # as many numbers an image, from as many images as there are
BLOCK = 1024  # images on a side of a block of the kernel's matrix


class Estimate(NamedTuple):
    """A value with its standard error."""

    value: float
    standard_error: float


def distance(real: Features, generated: Others) -> Estimate:
    """Returns the unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, over all images.

    The published code averages it over random subsets of 1,000, which is the same in expectation; all images at once
    need no seed. The standard error is the jackknife's, leaving out each image of either side.

    Raises:
      ValueError: for fewer than three images on a side.
    """
    for features in (real, generated):
        if len(features) < 3:
            raise ValueError(
                f'the kernel distance needs three images and more on each side, got {len(features)}'
            )
    within_real, within_generated = (_sums(x, x)[0] - _polynomial_of_itself(x) for x in (real, generated))
    between_real, between_generated = _sums(real, generated)
    sums = within_real.sum(), within_generated.sum(), between_real.sum()
    value = _discrepancy(*sums, len(real), len(generated))
    without_real = _discrepancy(
        sums[0] - 2 * within_real, sums[1], sums[2] - between_real, len(real) - 1, len(generated)
    )
    without_generated = _discrepancy(
        sums[0], sums[1] - 2 * within_generated, sums[2] - between_generated, len(real), len(generated) - 1
    )
    variance = _jackknife(without_real) + _jackknife(without_generated)
    return Estimate(float(value), float(np.sqrt(variance)))


def _sums(a: Features, b: Others) -> tuple[Float64[np.ndarray, 'n'], Float64[np.ndarray, 'm']]:
    """Returns the sums of the kernel's matrix along its rows and along its columns, a block of it at a time."""
    rows, columns = np.zeros(len(a)), np.zeros(len(b))
    for i in range(0, len(a), BLOCK):
        for j in range(0, len(b), BLOCK):
            x, y = (np.asarray(side, np.float64) for side in (a[i : i + BLOCK], b[j : j + BLOCK]))
            block = (x @ y.T / a.shape[1] + 1) ** 3
            rows[i : i + BLOCK] += block.sum(1)
            columns[j : j + BLOCK] += block.sum(0)
    return rows, columns


def _polynomial_of_itself(features: Features) -> Float64[np.ndarray, 'n']:
    """Returns the diagonal of the kernel's matrix within a set."""
    return (np.einsum('nd,nd->n', features, features, dtype=np.float64) / features.shape[1] + 1) ** 3


def _discrepancy(within_a, within_b, between, n: int, m: int):
    """The unbiased estimate from sums of the kernel, those within a set without those of an image with itself."""
    return within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * between / (n * m)


def _jackknife(left_out: Float64[np.ndarray, 'n']) -> float:
    """Returns the variance of an estimate from its values with each sample left out."""
    return (len(left_out) - 1) * left_out.var()
