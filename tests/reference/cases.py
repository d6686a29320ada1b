"""Reads the reference cases: arrays, weights by the rule of `weights.py`, images in our layout."""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from tests.reference.weights import reference_weight

FOLDER = pathlib.Path(__file__).parent
OWN: tuple[str, ...] = ()  # methods that are compared with no paper's code, and say so in their docstring


class Case(NamedTuple):
    """One case: what networks.json says of it, and its arrays."""

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def weights(self, *path: str, prefix: str = '') -> dict[str, np.ndarray]:
        """Returns the state_dict under `path` of the case; with `prefix`, that network's part, without the prefix."""
        shapes = self.about['state_dict']
        for part in path:
            shapes = shapes[part]
        drawn = {
            k: reference_weight(k, tuple(v), self.about['salt'])
            for k, v in shapes.items()
            if k.startswith(prefix)
        }
        return {key[len(prefix) :]: _constant(key, value) for key, value in drawn.items()}

    def image(self, name: str) -> np.ndarray:
        """Returns an image array [..., c, h, w] as [..., h, w, c]."""
        return np.moveaxis(self.arrays[name], -3, -1)


def _constant(key: str, value: np.ndarray) -> np.ndarray:
    """Returns CUT's blurring filters as they are in every file: constants, which the rule does not know of."""
    if not key.endswith('.filt'):
        return value
    taps = {3: [1, 2, 1], 4: [1, 3, 3, 1]}[value.shape[-1]]
    return np.broadcast_to(np.outer(taps, taps) / 16, value.shape).astype(np.float32)


def load(name: str) -> Case:
    about = json.loads((FOLDER / 'networks.json').read_text())[name]
    with np.load(FOLDER / f'{name}.npz') as arrays:
        return Case(about, dict(arrays))
