"""The sample grids of a training: the same test images translated every time."""

from typing import Any

import numpy as np

from gan_transfer import data, pictures
from gan_transfer.experiment import Experiment
from gan_transfer.inference import Translator
from gan_transfer.state import GanState


class Sampler:
    """Translates the samples of a run by a state and draws them; `samples` are what it translates."""

    def __init__(self, config: Any, dataset: Any, experiment: Experiment):
        """Chooses the samples; nothing is translated yet."""
        size, by = (config.image_size, config.image_size), data.trained_by(config.data)
        method = experiment.method
        self.samples = pictures.choose_samples(
            dataset,
            method.translate_fields,
            method.directions(len(dataset.domains)),
            lambda example: data.resize(example.image, size, by),
            config,
        )
        self._translator = Translator(
            experiment,
            min(config.evaluate_batch_size, len(self.samples.batch['source'])),
            config.seed,
            must_be_finite=False,
        )
        self._image_size = config.image_size

    def translate(self, state: GanState) -> np.ndarray:
        """Returns the translated samples, uint8 [n, h, w, 3]."""
        return self._translator(state.translate_params, self.samples.batch)

    def draw(self, translated: np.ndarray) -> np.ndarray:
        """Returns their grid, uint8 [height, width, 3]."""
        return pictures.magnify(pictures.draw(self.samples, translated), self._image_size)
