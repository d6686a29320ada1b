"""Differentiable augmentation: random changes of all that discriminators are shown, real and generated images alike.

A discriminator learns a few hundred images by heart, and then tells generated ones by their not being among them. Shown
changed images only, it cannot, and since the generator learns through the changes, its images have none of them (Zhao
et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", https://arxiv.org/abs/2006.10738). Not to be
taken for `data/transforms.py`, which changes images before any network sees them: what is done there, generators learn.

Differs from the reference: the real and the generated image of one place in the batch are changed by the same numbers.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from gan_transfer import random

SHIFT = 1 / 8  # of height and width, at most, each way
HOLE = 1 / 2  # of height and width
BRIGHTNESS = (-0.5, 0.5)  # added
SATURATION = (0.0, 2.0)  # times the colours' distances from grey
CONTRAST = (0.5, 1.5)  # times the values' distances from the image's mean

Image = Float[Array, 'h w k 3']


def augment(
    images: Float[Array, 'b h w c'], kinds: Sequence[str], keys: Key[Array, 'b']
) -> Float[Array, 'b h w c']:
    """Returns images in [-1, 1] as discriminators are shown them: changed in these ways, one behind the other.

    Args:
      images: of three channels, or of several images of three each, which are changed alike.
      kinds: some of `KINDS`.
      keys: of each sample's numbers.
    """

    def one(image: Float[Array, 'h w c'], key: Key[Array, '']) -> Float[Array, 'h w c']:
        colours = image.reshape(*image.shape[:2], -1, 3)
        for kind in kinds:
            colours = KINDS[kind](colours, random.named(key, kind))
        return colours.reshape(image.shape)

    return jax.vmap(one)(images, keys)


def check(kinds: Sequence[str]) -> None:
    """Raises ValueError, with the choices, for what is none of `KINDS`, or there twice."""
    for kind in kinds:
        if kind not in KINDS or list(kinds).count(kind) > 1:
            raise ValueError(
                f'discriminator_augmentation is {tuple(kinds)}; choose from {", ".join(KINDS)}, each once'
            )


def _color(image: Image, key: Key[Array, '']) -> Image:
    """Brightness, then saturation, then contrast."""
    bounds = {'brightness': BRIGHTNESS, 'saturation': SATURATION, 'contrast': CONTRAST}
    drawn = {
        name: jax.random.uniform(random.named(key, name), minval=low, maxval=high)
        for name, (low, high) in bounds.items()
    }
    image = image + drawn['brightness']
    grey = image.mean(-1, keepdims=True)
    image = grey + drawn['saturation'] * (image - grey)
    mean = image.mean((0, 1, 3), keepdims=True)
    return mean + drawn['contrast'] * (image - mean)


def _translation(image: Image, key: Key[Array, '']) -> Image:
    """Moves the image; where it was is mid grey, 0."""

    def moved(size: int, name: str) -> Float[Array, 'n n']:
        most, places = _part(size, SHIFT), jnp.arange(size)
        by = jax.random.randint(random.named(key, name), (), -most, most + 1)
        return (places[:, None] - by == places).astype(image.dtype)

    # Sums of one term each: accelerators pick rows one by one. By the highest precision they keep every digit.
    rows, columns = moved(image.shape[0], 'rows'), moved(image.shape[1], 'columns')
    return jnp.einsum('yh,hwkc,xw->yxkc', rows, image, columns, precision=jax.lax.Precision.HIGHEST)


def _cutout(image: Image, key: Key[Array, '']) -> Image:
    """A rectangle of mid grey, 0, half as high and wide as the image; parts of it may lie beyond the borders."""

    def covered(size: int, name: str) -> Bool[Array, 'n']:
        length = _part(size, HOLE)
        middle = jax.random.randint(random.named(key, name), (), 0, size + 1 - length % 2)
        from_start = jnp.arange(size) - middle + length // 2
        return (from_start >= 0) & (from_start < length)

    hole = covered(image.shape[0], 'rows')[:, None] & covered(image.shape[1], 'columns')
    return jnp.where(hole[..., None, None], 0, image)


def _part(size: int, share: float) -> int:
    return int(size * share + 0.5)


KINDS: dict[str, Callable[[Image, Key[Array, '']], Image]] = {
    'color': _color,
    'translation': _translation,
    'cutout': _cutout,
}
