"""Whether outputs show the source's content and the target image's style, factor by factor, to pets' recognizer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gan_transfer import recognizer
from gan_transfer.evaluation.measures import Values
from gan_transfer.evaluation.outputs import Translated

CONTENT = ('x', 'y', 'size', 'tilt', 'expression', 'gaze', 'background')  # all others are style

SPECIES = 'species'  # named as the domains are


class FactorReader:
    """Reads factors from images and compares them with those that the truth is drawn from."""

    def __init__(self, dataset: Any):
        """Args: the open data set, which knows the factors of its images."""
        self._dataset = dataset
        self._predict = recognizer.load()

    def __call__(self, batch: Translated, images: Sequence[np.ndarray], source: str, target: str) -> Values:
        """Returns, for images in the place of a batch's outputs, `read_FACTOR`: whether it is the truth's, 0 or 1.

        With several outputs it is their mean; `content_kept` and `style_taken` are the means over the factors of each
        kind. Where there is no target image, the only factor of style that is known is the species.

        Args:
          source, target: the names of the domains.
        """
        sources = self._dataset.test[source]
        shares = []
        for output, keys in zip(images, batch.target_keys or [None] * len(images), strict=True):
            found = self._predict(output)
            if keys is None:
                found = {name: found[name] for name in (*CONTENT, SPECIES)}
            read = {name: np.zeros(batch.count) for name in found}
            for row in range(batch.count):
                content = self._dataset.factors(sources.keys[batch.indices[row]], source)
                style = self._dataset.factors(keys[row], target) if keys else {SPECIES: target}
                for name, values in found.items():
                    true = (content if name in CONTENT else style)[name]
                    read[name][row] = recognizer.correct(name, values[row], true)
            shares.append(read)
        mean = {name: np.mean([share[name] for share in shares], axis=0) for name in shares[0]}
        kinds = {
            'content_kept': [value for name, value in mean.items() if name in CONTENT],
            'style_taken': [value for name, value in mean.items() if name not in CONTENT],
        }
        return {kind: np.mean(values, axis=0) for kind, values in kinds.items()} | {
            f'read_{name}': value for name, value in mean.items()
        }
