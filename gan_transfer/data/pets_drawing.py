"""Draws a pet from its factors: what it does and where (content), and what it looks like (style)."""

import dataclasses
import io

import numpy as np
import PIL.Image
from jaxtyping import UInt8

from gan_transfer.data import pets_backgrounds
from gan_transfer.data import pets_shapes as shapes

EXPRESSIONS = ('neutral', 'happy', 'sad', 'surprised', 'wink')
GAZES = {'centre': (0, 0), 'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1)}
BACKGROUNDS = ('mint', 'yellow', 'dots', 'stripes', 'meadow', 'night')
SPECIES = ('cat', 'dog', 'rabbit')
PATTERNS = ('plain', 'patches', 'stripes', 'spots', 'mask')
EAR_FORMS = ('upright', 'tipped', 'drooping')
OUTLINES = {
    'none': ('none', 0.0),
    'thin': ('#2b2028', 2.6),
    'thick': ('#c2255c', 6.0),
}  # colour, width in units

LARGEST_HEAD = 1.06  # units of the image per unit of the parts, for a size of 1


@dataclasses.dataclass(frozen=True)
class Content:
    """What stays in a style transfer.

    Attributes:
      x: of the head's middle to the right of the image's, in image widths.
      y: the same, downwards.
      size: of the head, 1 is the largest.
      tilt: of the head, degrees clockwise.
      expression: one of EXPRESSIONS.
      gaze: one of GAZES, where the pupils are.
      background: one of BACKGROUNDS.
    """

    x: float
    y: float
    size: float
    tilt: float
    expression: str
    gaze: str
    background: str


@dataclasses.dataclass(frozen=True)
class Style:
    """What a target image gives in a style transfer.

    Attributes:
      species: one of SPECIES.
      fur: colour, '#rrggbb'.
      second: colour of muzzle, chest and markings, '#rrggbb'.
      pattern: one of PATTERNS, the markings.
      ears: one of EAR_FORMS.
      outline: one of OUTLINES.
    """

    species: str
    fur: str
    second: str
    pattern: str
    ears: str
    outline: str


def draw(content: Content, style: Style, size: int) -> UInt8[np.ndarray, 'size size 3']:
    """Draws a pet at `size` px, at any size as sharp as can be."""
    import resvg_py  # compiled; only drawing needs it

    data = resvg_py.svg_to_bytes(
        svg_string=to_svg(content, style), width=size, height=size, skip_system_fonts=True
    )
    with PIL.Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert('RGB'))


def to_svg(content: Content, style: Style) -> str:
    """Returns the drawing as SVG text."""
    colour, width = OUTLINES[style.outline]
    # Outlines are as wide on a small head as on a large one: otherwise the thin one is lost at 64 px.
    stroke = (
        f'stroke="{colour}" stroke-width="{width / (LARGEST_HEAD * content.size):g}" stroke-linejoin="round"'
    )
    on_head, on_body = shapes.markings(style.pattern, style.second)
    place = f'translate({200 * content.x:g},{200 * content.y:g}) scale({LARGEST_HEAD * content.size:g})'
    clips = ''.join(
        f'<clipPath id="{name}"><path d="{path}"/></clipPath>'
        for name, path in (('head', shapes.HEADS[style.species]), ('body', shapes.BODY))
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-100 -100 200 200">'
        f'<defs>{clips}</defs>{pets_backgrounds.draw(content.background)}'
        f'<g transform="{place}">{_body(style, on_body, stroke)}'
        f'<g transform="rotate({content.tilt:g})">{_head(content, style, on_head, stroke)}</g></g></svg>'
    )


def _body(style: Style, on_body: str, stroke: str) -> str:
    shade = mix(style.fur, '#201020', 0.22)
    return (
        f'<path d="{shapes.BODY}" fill="{style.fur}"/><g clip-path="url(#body)">{on_body}'
        f'<path d="{shapes.CHEST}" fill="{style.second}"/>'
        '<path d="M58,60V240H34C50,190 50,120 40,70Z" fill="#201020" opacity="0.13"/>'
        f'<path d="M0,122V240M-26,150V240M26,150V240" stroke="{shade}" stroke-width="3"/>'
        '<ellipse cx="0" cy="42" rx="46" ry="20" fill="#201020" opacity="0.2"/></g>'
        f'<path d="{shapes.BODY}" fill="none" {stroke}/>'
    )


def _head(content: Content, style: Style, on_head: str, stroke: str) -> str:
    ears = ''.join(_ear(style, side, stroke) for side in (-1, 1))
    in_front = (style.species, style.ears) in shapes.IN_FRONT
    path = shapes.HEADS[style.species]
    # The lower right lies in the shade of a light from the upper left.
    shadow = 'M-120,-120H120V120H-120ZM-62,-10A57,57 0 1 0 52,-10A57,57 0 1 0 -62,-10Z'
    head = (
        f'<path d="{path}" fill="{style.fur}"/><g clip-path="url(#head)">{on_head}'
        f'<path d="{shapes.MUZZLES[style.species]}" fill="{style.second}"/>'
        f'<path d="{shadow}" fill="#201020" fill-rule="evenodd" opacity="0.13"/></g>'
        f'<path d="{path}" fill="none" {stroke}/>'
    )
    parts = [head, ears] if in_front else [ears, head]
    return ''.join(parts) + _face(content, style)


def _ear(style: Style, side: int, stroke: str) -> str:
    outer, inner, *fold = shapes.EARS[style.species, style.ears]
    coloured = style.pattern == 'mask' or (style.pattern == 'patches' and side == 1)
    colour = style.second if coloured else style.fur
    parts = [f'<path d="{outer}" fill="{colour}" {stroke}/>']
    if inner:
        parts.append(f'<path d="{inner}" fill="{mix(shapes.PINK, colour, 0.15)}"/>')
    parts.extend(f'<path d="{path}" fill="{mix(colour, "#201020", 0.16)}" {stroke}/>' for path in fold)
    return f'<g transform="scale({side},1)">{"".join(parts)}</g>'


def _face(content: Content, style: Style) -> str:
    species, expression = style.species, content.expression
    dark_muzzle = luminance(style.second) < 0.3
    ink = shapes.LIGHT if dark_muzzle else shapes.DARK
    nose = {'cat': '#e0707e', 'rabbit': '#e8808e', 'dog': '#3a2a30'}[species]
    if species == 'dog' and dark_muzzle:
        nose = '#c98a86'
    blush = ''
    if expression in ('happy', 'wink'):
        blush = ''.join(
            f'<ellipse cx="{x}" cy="14" rx="8" ry="5" fill="#ff6f86" opacity="0.6"/>' for x in (-40, 40)
        )
    eyes = ''.join(_eye(content, style, side) for side in (-1, 1))
    return (
        blush
        + shapes.whiskers(species, shapes.DARK if luminance(style.fur) > 0.3 else shapes.LIGHT)
        + shapes.mouth(species, expression, ink)
        + shapes.nose(species, nose)
        + eyes
    )


def _eye(content: Content, style: Style, side: int) -> str:
    """Returns the left (-1) or the right (1) eye with its brow."""
    x, y = shapes.EYES[style.species]
    expression = content.expression
    ink = shapes.DARK if luminance(style.fur) > 0.3 else shapes.LIGHT
    line = 'fill="none" stroke-linecap="round"'
    if expression == 'wink' and side == 1:
        lid = f'd="M{x - 12},{y + 3}C{x - 7},{y - 8} {x + 7},{y - 8} {x + 12},{y + 3}" {line}'
        # On fur of any colour: dark on a white rim.
        return f'<path {lid} stroke="#fff" stroke-width="8"/><path {lid} stroke="{shapes.DARK}" stroke-width="4"/>'
    extra = ''
    if expression == 'sad':
        brow = f'M{side * (x - 9)},{y - 22}L{side * (x + 13)},{y - 14}'
        extra = f'<path d="{brow}" {line} stroke="{ink}" stroke-width="3.6"/>'
        if side == 1:
            tear = f'M{x + 8},{y + 12}c8,10 7,17 0,17c-7,0 -8,-7 0,-17Z'
            extra += f'<path d="{tear}" fill="#5ab4f0" stroke="#2b6fb0"/>'
    elif expression == 'surprised':
        brow = f'M{side * (x - 10)},{y - 23}Q{side * x},{y - 31} {side * (x + 10)},{y - 23}'
        extra = f'<path d="{brow}" {line} stroke="{ink}" stroke-width="3.6"/>'
    return _eyeball(content, style, side * x, y) + extra


def _eyeball(content: Content, style: Style, x: float, y: float) -> str:
    rx, ry, white, iris = shapes.EYEBALLS[style.species]
    grow = 1.2 if content.expression == 'surprised' else 1.0
    ball = f'cx="{x}" cy="{y}" rx="{rx * grow:g}" ry="{ry * grow:g}"'
    dx, dy = (6.5 * part for part in GAZES[content.gaze])
    if iris:
        pupil = f'<circle r="8" fill="{iris}"/><circle r="5.6" fill="{shapes.DARK}"/>'
    else:
        pupil = f'<ellipse rx="6.2" ry="9" fill="{shapes.DARK}"/>'
    clip = 'left' if x < 0 else 'right'
    return (
        f'<clipPath id="{clip}"><ellipse {ball}/></clipPath><ellipse {ball} fill="{white}"/>'
        f'<g clip-path="url(#{clip})"><g transform="translate({x + dx:g},{y + dy:g})">{pupil}'
        '<circle cx="-2.6" cy="-3.2" r="2.7" fill="#fff"/></g></g>'
        f'<ellipse {ball} fill="none" stroke="{shapes.DARK}" stroke-width="2.4"/>'
    )


def channels(colour: str) -> tuple[int, int, int]:
    """Returns red, green, blue 0..255 of '#rrggbb'."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(colour: str, other: str, share: float) -> str:
    """Returns '#rrggbb' between two colours: `share` 0 is the first, 1 the other."""
    pairs = zip(channels(colour), channels(other), strict=True)
    return '#' + ''.join(f'{round(a + share * (b - a)):02x}' for a, b in pairs)


def luminance(colour: str) -> float:
    """Returns 0 (black) .. 1 (white), by the weights of ITU-R BT.601."""
    red, green, blue = channels(colour)
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255
