"""The real images that sets of translations are compared with: their features and digests, computed once."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gan_transfer.evaluation import outputs
from gan_transfer.evaluation.features import SetFeatures
from gan_transfer.evaluation.protocols import Protocol


class Real(NamedTuple):
    """Features [n, d] of real images, and the SHA-256 of their pixels as they were measured, in order."""

    features: np.ndarray
    sha256: str


class RealFeatures:
    """Features of all images of a domain and split, as a protocol loads and measures them."""

    def __init__(self, config: Any, dataset: Any, set_features: Callable[[Protocol], SetFeatures]):
        """Args: the config, for `image_size` and `evaluate_batch_size`; the data set; the features of a protocol."""
        self._config, self._dataset, self._set_features = config, dataset, set_features
        self._known: dict[tuple[str | int | None, ...], Real] = {}

    def images(self, domain: str, split: str) -> Any:
        """Returns the 'test' or 'train' images of a domain."""
        return (self._dataset.test if split == 'test' else self._dataset.train)[domain]

    def __call__(self, protocol: Protocol, domain: str, split: str, at_most: int | None = None) -> Real:
        """Returns those of all images, or of `at_most`, drawn by a fixed seed."""
        key = protocol.features, protocol.resize, protocol.interpolation, domain, split, at_most
        if key not in self._known:
            images, function = self.images(domain, split), self._set_features(protocol).function
            chosen = np.arange(len(images))
            if at_most is not None:
                chosen = np.random.default_rng(outputs.SEED).permutation(len(images))[:at_most]
            digest, found = hashlib.sha256(), []
            for count, places in outputs.in_batches(len(chosen), self._config.evaluate_batch_size):
                indices = [int(i) for i in chosen[places]]
                loaded = outputs.load_images(images, indices, self._config.image_size, protocol.interpolation)
                digest.update(loaded[:count].tobytes())
                found.append(function(loaded)[:count])
            self._known[key] = Real(np.concatenate(found), digest.hexdigest())
        return self._known[key]
