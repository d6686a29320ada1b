"""The real images that sets of translations are compared with: their features and digests, computed once."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gan_transfer.evaluation import outputs
from gan_transfer.evaluation.features import Measured, SetFeatures, measure
from gan_transfer.evaluation.protocols import Protocol


class RealFeatures:
    """Features of all images of a domain and split, as a protocol loads and measures them."""

    def __init__(self, config: Any, dataset: Any, set_features: Callable[[Protocol], SetFeatures]):
        """Args: the config, for `image_size` and `evaluate_batch_size`; the data set; the features of a protocol."""
        self._config, self._dataset, self._set_features = config, dataset, set_features
        self._known: dict[tuple[str | int | None, ...], Measured] = {}

    def images(self, domain: str, split: str) -> Any:
        """Returns the 'test' or 'train' images of a domain."""
        return (self._dataset.test if split == 'test' else self._dataset.train)[domain]

    def __call__(
        self,
        protocol: Protocol,
        domain: str,
        split: str,
        *,
        at_most: int | None = None,
        as_real: bool = False,
    ) -> Measured:
        """Returns those of all images, or of `at_most`, drawn by a fixed seed.

        `as_real` images are what translations are compared with: size and interpolation are those that the protocol
        wants of these, else those of what is translated.
        """
        size = None if as_real and protocol.reals_at_own_size else self._config.image_size
        by = protocol.reals_interpolation if as_real else protocol.interpolation
        key = protocol.features, protocol.resize, by, domain, split, at_most, size
        if key not in self._known:
            images, function = self.images(domain, split), self._set_features(protocol).function
            chosen = np.arange(len(images))
            if at_most is not None:
                chosen = np.random.default_rng(outputs.SEED).permutation(len(images))[:at_most]
            self._known[key] = measure(self._batches(images, chosen, by, size), function)
        return self._known[key]

    def _batches(
        self, images: Any, chosen: np.ndarray, interpolation: str, size: int | None
    ) -> Iterator[tuple[int, np.ndarray]]:
        # Of their own sizes one at a time: they may have as many.
        length = self._config.evaluate_batch_size if size else 1
        for count, places in outputs.in_batches(len(chosen), length):
            yield count, outputs.load_images(images, chosen[places].tolist(), size, interpolation)
