"""Measures between an image and its true counterpart: mean absolute error, SSIM, PSNR, LPIPS; one value per image.

Images are float32 [b, h, w, c] in [0, 1].
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, 'b h w c']
Values = Float[Array, 'b']

SSIM_SIGMA = 1.5  # px
SSIM_RADIUS = 5  # px: 3.5 sigma, as scikit-image truncates
SMALLEST_MSE = 1e-10  # PSNR ends at 100 dB, so that equal images leave a mean finite
HIGHER_IS_BETTER = {'absolute_error': False, 'ssim': True, 'psnr': True, 'lpips_alexnet': False}


def absolute_error(a: Images, b: Images) -> Values:
    """Returns the mean absolute difference, 0..1."""
    return jnp.abs(a - b).mean((1, 2, 3))


def psnr(a: Images, b: Images) -> Values:
    """Returns the peak signal-to-noise ratio in dB, at most 100."""
    return -10 * jnp.log10(jnp.maximum(jnp.square(a - b).mean((1, 2, 3)), SMALLEST_MSE))


def ssim(a: Images, b: Images) -> Values:
    """Returns the structural similarity, the mean over channels and over the places where the window fits.

    Gaussian window of deviation 1.5 px, population covariance: Wang et al. 2004, equation 13, with the constants of
    section III.B; what scikit-image computes with `gaussian_weights=True, use_sample_covariance=False`.

    Raises:
      ValueError: for images smaller than the window, 11 px.
    """
    if min(a.shape[1:3]) <= 2 * SSIM_RADIUS:
        raise ValueError(
            f'SSIM needs images of {2 * SSIM_RADIUS + 1} px and more, got {a.shape[1]}x{a.shape[2]}'
        )
    offsets = np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1)
    window = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    window = (window / window.sum()).astype(np.float32)

    def blur(x: Images) -> Float[Array, 'b h2 w2 c']:
        for axis in (1, 2):
            length = x.shape[axis] - 2 * SSIM_RADIUS
            x = sum(w * jax.lax.slice_in_dim(x, i, i + length, axis=axis) for i, w in enumerate(window))
        return x

    # Around 0.5 the squares are smaller, and so is their rounding.
    a, b = a - 0.5, b - 0.5
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (luminance * structure).mean((1, 2, 3))


class Pairs(NamedTuple):
    """A batch to measure: what `translate` takes, with `source`, and the truth; the first `count` rows count."""

    batch: dict[str, np.ndarray]
    truth: np.ndarray
    count: int


class Comparison(NamedTuple):
    """Means over `count` pairs, by measure: of the translations, and of the untouched sources."""

    count: int
    translated: dict[str, float]
    source: dict[str, float]


def compare(
    translate: Callable[[dict[str, np.ndarray]], np.ndarray],
    pairs: Iterable[Pairs],
    lpips_alexnet: Callable[[np.ndarray, np.ndarray], Values],
) -> Comparison:
    """Translates all pairs and measures them against the truth, beside the sources as they are.

    Args:
      translate: a batch to uint8 images [b, h, w, 3].
      pairs: batches of one size, images uint8.
      lpips_alexnet: the LPIPS distance of uint8 images.

    Raises:
      ValueError: when there are none.
    """
    measure = jax.jit(_measure)
    parts: dict[str, list] = {'translated': [], 'source': []}
    for batch, truth, count in pairs:
        for name, images in (('translated', translate(batch)), ('source', batch['source'])):
            values = jax.device_get({**measure(images, truth), 'lpips_alexnet': lpips_alexnet(images, truth)})
            parts[name].append({key: value[:count].astype(np.float64) for key, value in values.items()})
    if not parts['source']:
        raise ValueError('there are no pairs to compare')
    means = {
        name: {
            key: float(np.concatenate([value[key] for value in values]).mean()) for key in HIGHER_IS_BETTER
        }
        for name, values in parts.items()
    }
    count = sum(len(value['ssim']) for value in parts['source'])
    return Comparison(count, means['translated'], means['source'])


def _measure(images: Array, truth: Array) -> dict[str, Values]:
    a, b = images.astype(jnp.float32) / 255, truth.astype(jnp.float32) / 255
    return {'absolute_error': absolute_error(a, b), 'ssim': ssim(a, b), 'psnr': psnr(a, b)}
