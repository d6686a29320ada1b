"""What is kept of a training that met a number that is not finite: the state before that step, and its batch.

Neither is at hand when the fault is noticed, at a log step: a step that could be taken back would cost every step time
and memory. Both are made anew, by taking the steps since the last checkpoint once more: batches and keys are functions
of the step.
"""

import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from gan_transfer import run_config, sharding
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.errors import stops_run
from gan_transfer.experiment import Experiment
from gan_transfer.state import GanState

FOLDER = 'divergence'


class Diverged(Exception):
    """A step whose term, the first of all, was not finite; steps count from 1."""

    def __init__(self, step: int, term: str):
        """Names step and term."""
        super().__init__(f'{term} is not finite at step {step}')
        self.step, self.term = step, term


def check(state: GanState, scalars: dict[str, jax.Array]) -> None:
    """Waits for the steps under way.

    Raises:
      Diverged: where some term was not finite.
    """
    term, step = int(state.fault.term), int(state.fault.step)
    if term >= 0:
        raise Diverged(step + 1, sorted(scalars)[term])


def take_again(
    experiment: Experiment, state: GanState, first: int, last: int, pipeline: Iterator[Any], key: jax.Array
) -> tuple[GanState, dict[str, jax.Array]]:
    """Takes the steps behind `first` up to, and without, `last`; returns the state then, and the batch of `last`.

    Args:
      experiment: whose steps they are.
      state: the state of step `first`; donated.
      first: steps done.
      last: number of the step that met the fault.
      pipeline: batches behind step `first`.
      key: of the training.
    """
    for _ in range(first + 1, last):
        state, _ = experiment.train_step(state, next(pipeline), key)
    return state, next(pipeline)


def keep(
    workdir: str,
    config: Any,
    diverged: Diverged,
    experiment: Experiment,
    state: GanState,
    batch: dict[str, jax.Array],
    about: dict[str, Any],
) -> pathlib.Path:
    """Writes `WORKDIR/divergence/STEP`: a run of its own with the state as checkpoint, and `batch.npz`.

    Args:
      workdir: the run's folder.
      config: the run's.
      diverged: the fault.
      experiment: for its devices.
      state: before the step.
      batch: of the step.
      about: what is remembered with the state.

    Returns:
      the folder.

    Raises:
      RunStopped: where it cannot be written.
    """
    folder, number = pathlib.Path(workdir, FOLDER, str(diverged.step)), 1
    while folder.exists():  # the same step of an earlier attempt
        number += 1
        folder = folder.with_name(f'{diverged.step}_{number}')
    checkpoints = Checkpoints(str(folder), keep=1)
    checkpoints.save(diverged.step - 1, state, about)
    checkpoints.wait()
    checkpoints.close()
    everywhere = jax.jit(lambda x: x, out_shardings=sharding.replicated(experiment.mesh))
    arrays = {name: np.asarray(value) for name, value in everywhere(batch).items()}
    if jax.process_index() == 0:
        run_config.save(str(folder), config)
        with stops_run(folder):
            np.savez(folder / 'batch.npz', **arrays)
            text = json.dumps({'step': diverged.step, 'term': diverged.term}, indent=2)
            (folder / f'{FOLDER}.json').write_text(text + '\n')
            metrics = pathlib.Path(workdir, 'metrics.jsonl')
            if metrics.exists():
                shutil.copy(metrics, folder)
    return folder
