"""Pets: portraits of cats, dogs and rabbits drawn from known factors, so that every style transfer has one truth.

What a pet does and where it is (content) and what it looks like (style) are drawn independently of one another from
its key. Every pet is drawn in every domain, that is as every species: with the same content, and a style of its own in
each. The truth of a transfer is the source's content drawn in the target's style, for any source and any target image.
"""

import dataclasses
import functools
import hashlib

import numpy as np
from jaxtyping import UInt8

from gan_transfer.data import pets_drawing
from gan_transfer.data.artwork import Artwork
from gan_transfer.data.pets_drawing import Content, Style, draw

DOMAINS = pets_drawing.SPECIES
COUNT = 3000  # pets, where nothing else is asked for
# With fewer a domain may be left without training or test images.
SMALLEST, LARGEST = 100, 1_000_000
LICENCE = 'drawn by gan_transfer itself, under the licence of its code'

# Ranges of the content. The head at its largest, ears and all, mostly stays in the image.
X = (-0.12, 0.12)
Y = (0.02, 0.16)
SIZE = (0.65, 1.0)
TILT = (-25.0, 25.0)

FURS = ('#e8963c', '#8a8f98', '#f3e3c8', '#45424c', '#9a6234', '#f7f2ec', '#d9a85c', '#5f3a28', '#6f86a0', '#c3562b',
        '#e59ab2', '#8f78c8', '#58a69c')  # fmt: skip
SECONDS = ('#fdf6ee', '#f2d9b0', '#4a2f25', '#34313a', '#b0713c', '#a9adb5', '#e0873a')
JITTER = 10  # of 255, of each channel of a colour
CONTRAST = 0.25  # of 1: mean difference over the channels that fur and second colour have at least


def keys(count: int = COUNT) -> list[str]:
    """Returns the names of the first `count` pets; those of a smaller count come first in those of a larger.

    Raises:
      ValueError: for a count that is not from SMALLEST to LARGEST.
    """
    if not SMALLEST <= count <= LARGEST:
        raise ValueError(f'data.count is {count}; it must be from {SMALLEST} to {LARGEST}')
    return [f'{number:06d}' for number in range(count)]


def content(key: str) -> Content:
    """Returns the content of a pet; it depends on the key alone."""
    rng = _generator(f'pets content {key}')
    return Content(
        x=_uniform(rng, X, 3),
        y=_uniform(rng, Y, 3),
        size=_uniform(rng, SIZE, 3),
        tilt=_uniform(rng, TILT, 1),
        expression=_choice(rng, pets_drawing.EXPRESSIONS),
        gaze=_choice(rng, tuple(pets_drawing.GAZES)),
        background=_choice(rng, pets_drawing.BACKGROUNDS),
    )


def style(key: str, domain: str) -> Style:
    """Returns the style of a pet as the species `domain`; it depends on the two alone.

    Raises:
      ValueError: for an unknown species.
    """
    if domain not in DOMAINS:
        raise ValueError(f'unknown species {domain!r}; there are {", ".join(DOMAINS)}')
    rng = _generator(f'pets style {domain} {key}')
    fur = _choice(rng, FURS)
    second = _choice(rng, tuple(colour for colour in SECONDS if difference(fur, colour) >= CONTRAST))
    return Style(
        species=domain,
        fur=_jittered(rng, fur),
        second=_jittered(rng, second),
        pattern=_choice(rng, pets_drawing.PATTERNS),
        ears=_choice(rng, pets_drawing.EAR_FORMS),
        outline=_choice(rng, tuple(pets_drawing.OUTLINES)),
    )


def render(key: str, size: int) -> dict[str, np.ndarray]:
    """Draws one pet as every species, uint8 [size, size, 3]: the same content, each with a style of its own."""
    return {domain: draw(content(key), style(key, domain), size) for domain in DOMAINS}


def truth(
    source_key: str, target_key: str, target_domain: str, size: int
) -> UInt8[np.ndarray, 'size size 3']:
    """Draws the true answer of a style transfer: the source's content in the style of a target image.

    The source's domain does not matter: its content is the same in all.
    """
    return draw(content(source_key), style(target_key, target_domain), size)


def factors(key: str, domain: str) -> dict[str, float | str]:
    """Returns all factors of an image by name: those of its content, then those of its style."""
    return {**dataclasses.asdict(content(key)), **dataclasses.asdict(style(key, domain))}


def artwork(count: int = COUNT) -> Artwork:
    """Returns the first `count` pets as a source of artwork.

    Raises:
      ValueError: for a count that is too small or too large.
    """
    keys(count)
    return Artwork(
        name='pets',
        domains=DOMAINS,
        packages=('resvg_py',),
        requirement='resvg_py',
        version=2,
        licence=LICENCE,
        keys=functools.partial(keys, count),
        render=render,
        variant=f'first{count}',
        truth=truth,
        factors=factors,
    )


def difference(colour: str, other: str) -> float:
    """Returns the mean absolute difference of two colours over their channels, 0..1."""
    pairs = zip(pets_drawing.channels(colour), pets_drawing.channels(other), strict=True)
    return sum(abs(a - b) for a, b in pairs) / (3 * 255)


def _generator(text: str) -> np.random.Generator:
    # Python's own hash differs from process to process.
    return np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest(), 16))


def _uniform(rng: np.random.Generator, bounds: tuple[float, float], digits: int) -> float:
    return round(float(rng.uniform(*bounds)), digits)


def _choice(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _jittered(rng: np.random.Generator, colour: str) -> str:
    shifts = rng.integers(-JITTER, JITTER + 1, 3)
    channels = (
        int(np.clip(c + s, 0, 255)) for c, s in zip(pets_drawing.channels(colour), shifts, strict=True)
    )
    return '#' + ''.join(f'{channel:02x}' for channel in channels)
