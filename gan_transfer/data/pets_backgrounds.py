"""The backgrounds that pets are drawn on, as SVG text: plain colours, patterns, scenes.

Units: the image is 200 wide, (0, 0) its middle, y downwards.
"""

_FLOWERS = ((-84, 66, '#f06a8a'), (-62, 84, '#ffd84d'), (-90, 90, '#ffd84d'), (66, 70, '#ffd84d'),
            (84, 88, '#f06a8a'), (90, 62, '#f06a8a'), (58, 92, '#fff'))  # fmt: skip
_STARS = ((-82, -80, 2.4), (-52, -88, 1.8), (-90, -38, 2), (-70, -58, 1.6), (20, -90, 2), (88, -30, 2.4),
          (-84, 8, 1.8), (84, 14, 1.8), (-20, -82, 1.6), (92, -92, 1.8), (-94, 44, 2), (70, -14, 1.5))  # fmt: skip


def draw(name: str) -> str:
    """Returns a whole image of `name`."""
    return _fill(_BACKGROUNDS[name][0]) + _BACKGROUNDS[name][1]


def _fill(colour: str) -> str:
    return f'<rect x="-100" y="-100" width="200" height="200" fill="{colour}"/>'


def _dots() -> str:
    places = [(x + (y // 25 % 2) * 12.5, y) for y in range(-100, 101, 25) for x in range(-112, 113, 25)]
    return ''.join(f'<circle cx="{x}" cy="{y}" r="5.5" fill="#fff"/>' for x, y in places)


def _diagonals() -> str:
    lines = ''.join(f'M{x},-110L{x + 220},110' for x in range(-320, 101, 30))
    return f'<path d="{lines}" stroke="#b7a6e6" stroke-width="11"/>'


def _meadow() -> str:
    flowers = ''.join(
        f'<circle cx="{x}" cy="{y}" r="3.6" fill="{colour}"/><circle cx="{x}" cy="{y}" r="1.5" fill="#fff"/>'
        for x, y, colour in _FLOWERS
    )
    return (
        '<circle cx="-72" cy="-70" r="17" fill="#ffd84d"/>'
        '<g fill="#fff"><circle cx="58" cy="-70" r="10"/><circle cx="72" cy="-74" r="13"/>'
        '<circle cx="86" cy="-69" r="9"/>'
        '<rect x="50" y="-70" width="44" height="10" rx="5"/></g>'
        '<path d="M-100,34C-60,14 -20,22 10,36C40,20 70,18 100,30V100H-100Z" fill="#8ecf6e"/>'
        '<path d="M-100,62C-50,46 40,48 100,66V100H-100Z" fill="#6fbb57"/>' + flowers
    )


def _night() -> str:
    stars = ''.join(f'<circle cx="{x}" cy="{y}" r="{r}" fill="#fff6c8"/>' for x, y, r in _STARS)
    moon = '<circle cx="70" cy="-66" r="19" fill="#fff1b0"/><circle cx="62" cy="-71" r="16" fill="#2c3f7d"/>'
    return moon + stars + '<path d="M-100,66C-40,46 30,74 100,56V100H-100Z" fill="#1e2c5c"/>'


_BACKGROUNDS = {
    'mint': ('#a9e0cb', ''),
    'yellow': ('#ffdc7d', ''),
    'dots': ('#f7b3c2', _dots()),
    'stripes': ('#d3c8f3', _diagonals()),
    'meadow': ('#a5d8f3', _meadow()),
    'night': ('#2c3f7d', _night()),
}
