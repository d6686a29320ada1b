"""Artwork that is made up: random pixels of a key and a domain, drawn at once."""

import numpy as np

from gan_transfer.data.artwork import Artwork

KEYS = [f'{number:x}' for number in range(1000, 1060)]


def image_of(key, domain, size):
    rng = np.random.default_rng([int(key, 16), ord(domain)])
    return rng.integers(0, 256, (size, size, 3), np.uint8)


class Painter:
    """Stands in for a renderer: counts its calls and may be interrupted."""

    def __init__(self, stop_at=None):
        self.calls = 0
        self.stop_at = stop_at

    def __call__(self, key, size):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        return {domain: image_of(key, domain, size) for domain in 'abc'}


def made(painter, **changes):
    fields = {
        'name': 'made',
        'domains': ('a', 'b', 'c'),
        'packages': ('numpy', 'pillow'),
        'requirement': 'numpy pillow',
        'version': 1,
        'licence': 'none',
        'keys': lambda: list(KEYS),
        'render': painter,
    }
    return Artwork(**{**fields, **changes})
