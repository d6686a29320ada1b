"""Han characters in a sans-serif and a serif typeface: 12,744 pairs, from the optional package pylopdf-fonts-cjk."""

import functools
import importlib.util
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from gan_transfer.data.artwork import Artwork

SANS, SERIF = DOMAINS = ('sans', 'serif')
LICENCE = 'Noto Sans JP and Noto Serif JP: OFL-1.1, Copyright Adobe (Source Han / Noto CJK)'
MARGIN = 0.04  # white on each side, of the image: the characters' own square fills the rest
BASELINE = 0.88  # of these typefaces, below the top of a character's square, in squares

_FILES = {SANS: 'NotoSansJP-Regular.otf', SERIF: 'NotoSerifJP-Regular.otf'}
# The main block. The compatibility blocks repeat characters of it, which would leak from test to training.
_HAN = range(0x4E00, 0x9FFF + 1)


def artwork() -> Artwork:
    """Returns the characters as a source of artwork."""
    return Artwork(
        name='glyphs',
        domains=DOMAINS,
        packages=('pylopdf-fonts-cjk', 'pillow'),
        requirement='pylopdf-fonts-cjk',
        version=1,
        licence=LICENCE,
        keys=keys,
        render=render,
    )


def keys() -> list[str]:
    """Returns the Han characters that both typefaces have: code point in lower-case hex, sorted by it."""
    shared = _code_points(SANS) & _code_points(SERIF)
    return [f'{point:x}' for point in sorted(shared) if point in _HAN]


def render(key: str, size: int) -> dict[str, np.ndarray]:
    """Draws one character in every domain, black on white: uint8 [size, size, 3]."""
    return {domain: _draw(chr(int(key, 16)), domain, size) for domain in DOMAINS}


def _draw(character: str, domain: str, size: int) -> np.ndarray:
    font = _font(domain, round(size * (1 - 2 * MARGIN)))
    image = PIL.Image.new('L', (size, size), 255)
    # Both typefaces place a character in its square by design; centring the ink would move strokes apart.
    baseline = (size - font.size) / 2 + BASELINE * font.size
    PIL.ImageDraw.Draw(image).text((size / 2, baseline), character, fill=0, font=font, anchor='ms')
    return np.repeat(np.asarray(image)[:, :, None], 3, axis=2)


@functools.cache
def _font(domain: str, size: int) -> PIL.ImageFont.FreeTypeFont:
    return PIL.ImageFont.truetype(str(_path(domain)), size, layout_engine=PIL.ImageFont.Layout.BASIC)


def _path(domain: str) -> Path:
    # Found, not imported: a data package needs no code to run.
    return Path(importlib.util.find_spec('pylopdf_fonts_cjk').submodule_search_locations[0], _FILES[domain])


def _code_points(domain: str) -> set[int]:
    """Returns the code points of an OpenType font, from its character map of format 12 (OpenType 1.9, cmap)."""
    data = _path(domain).read_bytes()
    tables = struct.unpack_from('>H', data, 4)[0]
    for index in range(tables):
        tag, _, start, _ = struct.unpack_from('>4sIII', data, 12 + 16 * index)
        if tag == b'cmap':
            return _read_character_map(data, start)
    raise ValueError(f'{_path(domain)} has no character map')


def _read_character_map(data: bytes, start: int) -> set[int]:
    points = set()
    for index in range(struct.unpack_from('>H', data, start + 2)[0]):
        offset = start + struct.unpack_from('>HHI', data, start + 4 + 8 * index)[2]
        if struct.unpack_from('>H', data, offset)[0] != 12:
            continue
        for group in range(struct.unpack_from('>I', data, offset + 12)[0]):
            first, last, _ = struct.unpack_from('>III', data, offset + 16 + 12 * group)
            points.update(range(first, last + 1))
    return points
