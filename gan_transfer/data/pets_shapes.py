"""The parts that pets are drawn from, as SVG text: heads, ears, muzzles, mouths, markings.

Units: the image is 200 wide, (0, 0) its middle, y downwards. Parts of a head are drawn around the head's middle at full
size, upright; `pets_drawing` moves, turns and scales them. What is named `right` is right in the image.
"""

PINK, TONGUE, MOUTH, DARK, LIGHT = '#f2a0a8', '#f27a86', '#7a2632', '#2b2028', '#f6e6da'


def mirrored(right: str) -> str:
    """Returns the closed path of a symmetric shape from its right half.

    Args:
      right: points `x,y`: the start on the axis, then three for each cubic curve, of which the last ends on the axis.
    """
    start, *curves = (tuple(map(float, point.split(','))) for point in right.split())
    left = [(-x, y) for x, y in reversed([start, *curves[:-1]])]
    return f'M{start[0]:g},{start[1]:g}C' + ' '.join(f'{x:g},{y:g}' for x, y in [*curves, *left]) + 'Z'


HEADS = {
    'cat': mirrored(
        '0,-51  24,-51 47,-38 52,-8  53,2 58,10 66,15  60,18 57,19 55,21  58,26 60,29 63,35  '
        '54,35 48,37 42,39  30,46 14,48 0,48'
    ),
    'dog': mirrored('0,-54  26,-54 47,-40 50,-12  51,2 50,14 46,26  43,48 26,60 0,60'),
    'rabbit': mirrored('0,-47  20,-47 37,-36 42,-14  46,-2 56,8 55,24  53,42 30,50 0,50'),
}
# Fur of the right ear, then what is seen inside of it. A tipped ear has the fold as a third path, a second tone.
EARS = {
    ('cat', 'upright'): (
        'M8,-42C16,-62 34,-82 46,-88C53,-72 56,-42 52,-10Z',
        'M19,-46C24,-58 35,-70 43,-76C47,-64 48,-46 46,-28Z',
    ),
    ('cat', 'tipped'): (
        'M8,-42C14,-54 24,-66 32,-70C38,-73 48,-70 51,-64C54,-46 54,-28 52,-10Z',
        '',
        'M25,-68C34,-76 48,-76 52,-64C52,-52 48,-42 42,-36C36,-44 30,-54 25,-68Z',
    ),
    ('cat', 'drooping'): (
        'M20,-44C40,-60 68,-52 86,-26C76,-18 62,-10 50,-4Z',
        'M36,-43C50,-48 64,-42 76,-27C68,-22 60,-18 52,-15Z',
    ),
    ('dog', 'upright'): (
        'M12,-44C14,-66 24,-88 36,-96C48,-88 54,-50 48,-16Z',
        'M21,-48C23,-64 29,-76 35,-82C42,-72 44,-50 42,-34Z',
    ),
    ('dog', 'tipped'): (
        'M12,-44C16,-62 26,-74 38,-76C50,-72 54,-48 48,-16Z',
        '',
        'M22,-68C32,-82 52,-80 64,-62C68,-52 66,-40 62,-34C46,-40 30,-50 22,-68Z',
    ),
    ('dog', 'drooping'): (
        'M26,-48C46,-58 66,-42 72,-12C78,16 76,42 64,48C53,52 47,36 47,18C47,-2 42,-26 26,-48Z',
        '',
    ),
    ('rabbit', 'upright'): (
        'M6,-36C2,-62 8,-98 22,-104C36,-102 40,-66 32,-32Z',
        'M14,-44C11,-64 15,-88 22,-94C30,-90 31,-64 26,-42Z',
    ),
    ('rabbit', 'tipped'): (
        'M6,-36C4,-58 10,-84 24,-88C38,-88 40,-60 32,-32Z',
        'M14,-46C13,-60 16,-70 22,-74C28,-68 29,-58 26,-44Z',
        'M12,-74C18,-98 44,-100 58,-82C68,-68 70,-52 64,-44C52,-46 44,-54 38,-64C32,-72 22,-76 12,-74Z',
    ),
    ('rabbit', 'drooping'): (
        'M20,-45C36,-60 60,-52 70,-24C80,2 82,44 71,60C59,66 51,50 51,30C50,4 42,-20 20,-45Z',
        'M55,-24C67,-6 71,34 67,48C61,48 59,34 59,22C59,4 59,-10 55,-24Z',
    ),
}
MUZZLES = {
    'cat': mirrored('0,6  8,6 12,10 14,14  26,14 32,22 30,30  27,40 14,43 0,43'),
    'dog': mirrored('0,-26  5,-24 6,-18 10,-8  18,-2 34,8 34,28  33,46 18,55 0,55'),
    'rabbit': mirrored('0,8  8,4 24,8 25,22  25,32 14,35 9,35  8,42 4,44 0,44'),
}
IN_FRONT = {('dog', 'drooping'), ('rabbit', 'drooping')}  # ears that hang over the head
NOSE_Y = {'cat': 14, 'dog': 12, 'rabbit': 14}
MOUTH_Y = {'cat': 24, 'dog': 30, 'rabbit': 25}
EYES = {'cat': (24, -8), 'dog': (21, -10), 'rabbit': (25, -7)}  # x of the right eye, y
# Half the width and height in units, colour, colour of the iris; a cat's eye is iris and slit.
EYEBALLS = {
    'cat': (14, 13, '#d8e86a', ''),
    'dog': (12.5, 13, '#fff', '#8a5526'),
    'rabbit': (12, 14, '#fff', '#5b3a6b'),
}
BODY = mirrored('0,20  26,22 38,44 44,62  52,84 58,110 58,150  58,190 58,230 58,240  40,240 20,240 0,240')
CHEST = mirrored('0,30  16,36 26,52 24,66  22,84 10,98 0,108')


def nose(species: str, colour: str) -> str:
    """Returns the nose in its own form: a small triangle, a big oval with a highlight, a soft Y."""
    y = NOSE_Y[species]
    if species == 'dog':
        return (
            f'<path d="M-13,{y - 3}C-12,{y - 11} 12,{y - 11} 13,{y - 3}C13,{y + 5} 6,{y + 9} 0,{y + 9}'
            f'C-6,{y + 9} -13,{y + 5} -13,{y - 3}Z" fill="{colour}"/>'
            f'<ellipse cx="-4" cy="{y - 5}" rx="4.5" ry="2" fill="#fff" opacity="0.55"/>'
        )
    width = 8 if species == 'cat' else 6
    return (
        f'<path d="M{-width},{y - 4}C{-width / 2},{y - 7} {width / 2},{y - 7} {width},{y - 4}'
        f'C{width},{y} 3,{y + 4} 0,{y + 4}C-3,{y + 4} {-width},{y} {-width},{y - 4}Z" fill="{colour}"/>'
    )


def mouth(species: str, expression: str, ink: str) -> str:
    """Returns mouth, tongue and, for rabbits, the teeth."""
    y, top = MOUTH_Y[species], NOSE_Y[species] + 4
    line = f'fill="none" stroke="{ink}" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"'
    teeth = ''
    if species == 'rabbit':
        drop = {'happy': 1, 'surprised': -4}.get(expression, 0)
        teeth = (
            f'<path d="M-6,{y + drop}h12v7q0,2 -2,2h-3l-1,-1l-1,1h-3q-2,0 -2,-2Z" fill="#fff" stroke="{DARK}" '
            f'stroke-width="1"/><path d="M0,{y + drop}v8" stroke="{DARK}" stroke-width="1"/>'
        )
    stem = f'<path d="M0,{top}V{y}" {line}/>'
    if expression == 'happy':
        open_mouth = (
            f'M-18,{y - 2}C-8,{y + 3} 8,{y + 3} 18,{y - 2}C17,{y + 16} 8,{y + 21} 0,{y + 21}'
            f'C-8,{y + 21} -17,{y + 16} -18,{y - 2}Z'
        )
        tongue = (
            f'<path d="M-10,{y + 15}C-8,{y + 7} 8,{y + 7} 10,{y + 15}C6,{y + 21} -6,{y + 21} -10,{y + 15}Z" '
            f'fill="{TONGUE}"/>'
        )
        return f'{stem}<path d="{open_mouth}" fill="{MOUTH}" stroke="{ink}" stroke-width="2"/>{tongue}{teeth}'
    if expression == 'surprised':
        hole = f'<ellipse cx="0" cy="{y + 9}" rx="9.5" ry="12" fill="{MOUTH}"'
        return f'{hole} stroke="{ink}" stroke-width="2.5"/>{teeth}'
    if expression == 'sad':
        return f'{stem}<path d="M-17,{y + 11}C-12,{y - 1} 12,{y - 1} 17,{y + 11}" {line}/>{teeth}'
    smile = f'<path d="M-16,{y}C-14,{y + 8} -3,{y + 8} 0,{y}C3,{y + 8} 14,{y + 8} 16,{y}" {line}/>'
    if expression == 'wink':
        out = f'M1,{y + 5}h14v11c0,9 -14,9 -14,0Z'
        return f'{stem}<path d="{out}" fill="{TONGUE}" stroke="{MOUTH}" stroke-width="2"/>{smile}{teeth}'
    return f'{stem}{smile}{teeth}'


def whiskers(species: str, ink: str) -> str:
    """Returns long whiskers for cats, short ones for rabbits, none for dogs."""
    if species == 'dog':
        return ''
    reach = 78 if species == 'cat' else 66
    d = f'M30,22L{reach},14M31,27L{reach + 2},27M30,32L{reach},40'
    line = f'<path d="{d}" stroke="{ink}" stroke-width="1.6" stroke-linecap="round" opacity="0.8"/>'
    return f'{line}<g transform="scale(-1,1)">{line}</g>'


# Markings lie inside the head (first) and inside the body (second).
_PATCH = 'M-2,-60C4,-40 2,-22 8,-2C14,14 34,18 48,10C70,0 70,-60 40,-66Z'
_STRIPE_PATHS = (
    'M-5,-60L5,-60L2.5,-30L0,-26L-2.5,-30ZM11,-60L22,-60L16,-29L13,-27ZM29,-60L40,-56L30,-28L27,-26Z'
    'M-11,-60L-22,-60L-16,-29L-13,-27ZM-29,-60L-40,-56L-30,-28L-27,-26Z'
    'M70,-4L70,7L40,8ZM70,13L70,24L36,18ZM70,31L64,42L36,28ZM-70,-4L-70,7L-40,8ZM-70,13L-70,24L-36,18ZM-70,31L-64,42L-36,28Z'
)
_BODY_STRIPES = ''.join(
    f'M{side * 70},{y}L{side * 70},{y + 11}L{side * 24},{y + 8}Z'
    for y in range(62, 240, 24)
    for side in (-1, 1)
)
_SPOTS = ((-14, -38, 6), (5, -33, 5), (24, -37, 6.5), (-33, -29, 5), (41, -24, 5), (-46, -10, 5), (47, 2, 4.5),
          (-44, 14, 6), (42, 19, 6), (-34, 31, 5), (34, 35, 4.5), (-54, 24, 4), (0, -48, 4))  # fmt: skip
_BODY_SPOTS = tuple(
    (side * x, y + side * 6, 6) for y in range(70, 240, 30) for x in (34, 48) for side in (-1, 1)
)
_MASK = mirrored('0,-30  6,-40 40,-34 46,-12  50,8 34,16 18,18  10,20 4,20 0,20')


def markings(pattern: str, colour: str) -> tuple[str, str]:
    """Returns what `pattern` paints on the head and on the body, in the second colour."""

    def dots(spots: tuple) -> str:
        return ''.join(f'<circle cx="{x}" cy="{y}" r="{r}"/>' for x, y, r in spots)

    head, body = {
        'plain': ('', ''),
        'patches': (
            f'<path d="{_PATCH}"/><ellipse cx="-46" cy="26" rx="17" ry="13"/>',
            '<ellipse cx="-44" cy="88" rx="20" ry="24"/><ellipse cx="48" cy="136" rx="22" ry="30"/>',
        ),
        'stripes': (f'<path d="{_STRIPE_PATHS}"/>', f'<path d="{_BODY_STRIPES}"/>'),
        'spots': (dots(_SPOTS), dots(_BODY_SPOTS)),
        'mask': (f'<path d="{_MASK}"/>', ''),
    }[pattern]
    return f'<g fill="{colour}">{head}</g>', f'<g fill="{colour}">{body}</g>'
