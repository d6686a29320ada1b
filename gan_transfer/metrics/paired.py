"""Measures between an image and its true counterpart: mean absolute error, SSIM, PSNR; one value per image.

Images are float32 [b, h, w, c] in [0, 1].
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, 'b h w c']
Values = Float[Array, 'b']

SSIM_SIGMA = 1.5  # px
SSIM_RADIUS = 5  # px: 3.5 sigma, as scikit-image truncates
SMALLEST_MSE = 1e-10  # PSNR ends at 100 dB, so that equal images leave a mean finite


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
