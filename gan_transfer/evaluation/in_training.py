"""Evaluation in the middle of a training: scalars for the log, and the best checkpoint kept beside the newest."""

import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gan_transfer import processes
from gan_transfer.checkpoint import BEST, Checkpoints, DamagedCheckpoint
from gan_transfer.evaluation.evaluator import Evaluator
from gan_transfer.inference import Translator
from gan_transfer.state import GanState

# In what is remembered with the best checkpoint.
VALUE, MEASURE, TEST_IMAGES = 'evaluation', 'evaluation_measure', 'test_images'


class EvaluationLeft(Exception):
    """The run was asked to end before the evaluation was done."""


class InTraining:
    """Evaluates states by the averaged weights, with the same images, target images and keys every time.

    What is compiled and the features of real images are kept, so that only the first evaluation compiles.
    """

    def __init__(self, config: Any, workdir: str, dataset: Any, experiment: Any):
        """Raises ValueError where a protocol of the config cannot be run."""
        method = experiment.method
        directions = method.directions(len(dataset.domains))
        self._evaluator = Evaluator(config, dataset, method, directions, set_intervals=False)
        self._translator = Translator(experiment, config.evaluate_batch_size, must_be_finite=False)
        self._checkpoints = Checkpoints(workdir, keep=1, folder=BEST)
        self._batch_size = config.batch_size
        self._test_images = dataset.test_images
        self._best, self._best_step, self._last = math.inf, None, math.nan
        step = self._checkpoints.latest()
        if step is not None:
            try:
                about = self._checkpoints.about(step)
                reason = self._not_comparable(about)
            except DamagedCheckpoint as error:
                if config.checkpoint.on_damage == 'error':
                    hint = '--config.checkpoint.on_damage=fallback goes on without it'
                    raise DamagedCheckpoint(f'{error}; {hint}') from error
                reason = str(error)
            if reason is None:
                self._best, self._best_step = about[VALUE], step
            else:
                places = self._checkpoints.set_aside(step)
                print(f'warning: {reason}; moved to {", ".join(places)}', file=sys.stderr)

    def _not_comparable(self, about: dict[str, Any]) -> str | None:
        """Returns what is to be said where the best checkpoint's value cannot be compared with those to come."""
        now = list(self._evaluator.headline)
        then = about.get(MEASURE, now)
        if then != now:
            return f'the best checkpoint was chosen by {", ".join(then)}; the config now asks for {", ".join(now)}'
        if about.get(TEST_IMAGES, self._test_images) != self._test_images:
            return 'the best checkpoint was chosen on other test images'
        return None

    def __call__(
        self, step: int, state: GanState, about: dict[str, Any], interrupted: Callable[[], bool]
    ) -> dict[str, float]:
        """Returns means over the directions, `evaluation/PROTOCOL/MEASURE`; saves the state if it is the best yet.

        Args:
          step: the state's.
          state: to be judged.
          about: what is remembered with the state.
          interrupted: asked before each batch, on all processes alike.

        Raises:
          EvaluationLeft: when `interrupted` says so.
        """

        def translate(batch: dict[str, np.ndarray]) -> np.ndarray:
            if interrupted():
                raise EvaluationLeft
            return self._translator(state.translate_params, batch)

        results = self._evaluator(translate)
        protocol, measure = self._evaluator.headline
        # All processes save together, or none does.
        self._last = processes.of_the_first(results[protocol]['mean'][measure])
        if self._last < self._best:
            self._best, self._best_step = self._last, step
            chosen = {VALUE: self._last, MEASURE: [protocol, measure], TEST_IMAGES: self._test_images}
            self._checkpoints.save(step, state, {**about, **chosen})
        return {
            f'evaluation/{name}/{key}': value
            for name, result in results.items()
            for key, value in result['mean'].items()
        }

    def forget_after(self, step: int) -> None:
        """Sets aside a best state of steps behind `step`, which will be taken anew and differently."""
        if self._best_step is not None and self._best_step > step:
            self._checkpoints.wait()
            self._checkpoints.set_aside(step + 1)
            self._best, self._best_step = math.inf, None

    def summary(self) -> str:
        """Returns a line about the last and the best evaluation."""
        protocol, measure = self._evaluator.headline
        return (
            f'{protocol}, {measure}: final {self._last:.4g}; best {self._best:.4g}, after '
            f'{(self._best_step or 0) * self._batch_size} images, chosen by these very test images'
        )

    def wait(self) -> None:
        """Waits until the best checkpoint is on disk."""
        self._checkpoints.wait()

    def close(self) -> None:
        """Waits, and lets go of the folder."""
        self.wait()
        self._checkpoints.close()


def forget_best_after(evaluation: InTraining | None, workdir: str, step: int) -> None:
    """Does what `InTraining.forget_after` does, for a training without evaluations (any more) too."""
    if evaluation:
        evaluation.forget_after(step)
        return
    with contextlib.closing(Checkpoints(workdir, folder=BEST)) as checkpoints:
        best = checkpoints.latest()
        if best is not None and best > step:
            checkpoints.set_aside(step + 1)
