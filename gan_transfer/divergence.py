"""What is kept of a training that met a number that is not finite: the state before that step, and its batch.

Neither is at hand when the fault is noticed, at a log step: a step that could be taken back would cost every step time
and memory. Both are made anew, by taking the steps since the last checkpoint once more: batches and keys are functions
of the step.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from gan_transfer import processes, run_config, sharding, storage
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.errors import RunStopped, UserError, from_user, stops_run
from gan_transfer.experiment import Experiment
from gan_transfer.state import GanState
from gan_transfer.writer import METRICS

FOLDER, RECORD, BATCH = 'divergence', 'divergence.json', 'batch.npz'


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


def examine(
    workdir: str,
    config: Any,
    diverged: Diverged,
    experiment: Experiment,
    *,
    first: int,
    state: GanState,
    pipeline: Iterator[dict[str, jax.Array]],
    key: jax.Array,
    about: dict[str, Any],
    rollbacks: int,
) -> str:
    """Meets a fault once more and writes `WORKDIR/divergence/STEP`.

    That is a run of its own, with the state before the step as its checkpoint, and has the step's `batch.npz`.

    Args:
      workdir: the run's folder.
      config: the run's.
      diverged: the fault.
      experiment: whose steps they are.
      first: the step to start from.
      state: of that step; donated.
      pipeline: batches behind it.
      key: of the training.
      about: what is remembered with the state.
      rollbacks: how many the run has made when it goes on from here, to be remembered.

    Returns:
      what there is to tell.

    Raises:
      RunStopped: where the folder cannot be written.
    """
    for _ in range(first + 1, diverged.step):
        state, _ = experiment.train_step(state, next(pipeline), key)
    batch = next(pipeline)
    told = f'{diverged} ({diverged.step * config.batch_size} images): the first such term'
    try:
        folder = _keep(workdir, config, diverged, experiment, state, batch, about, rollbacks)
    except (RunStopped, UserError) as error:
        raise RunStopped(f'{told}; what it was met with could not be kept: {error}') from error
    state, _ = experiment.train_step(state, batch, key)
    again = '' if int(state.fault.term) >= 0 else ', where a second try did not meet it'
    return f'{told}; the state before it and its batch are in {folder}{again}'


def rollbacks_behind(workdir: str, step: int) -> int:
    """Returns how many rollbacks a run made for faults behind `step`, which its checkpoint does not know of.

    Raises:
      UserError: where what a divergence left is damaged.
    """
    folder = storage.place(workdir, FOLDER)
    with from_user(), storage.reached(folder):
        records = {path: storage.read(path) for path in folder.glob(f'*/{RECORD}')}
    rollbacks = 0
    for path, text in records.items():
        try:
            told = json.loads(text)
            rollbacks = max(rollbacks, told.get('rollbacks', 0) if told['step'] > step else 0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f'{path} is damaged ({error}); remove its folder to go on without it') from error
    return rollbacks


def _keep(
    workdir: str,
    config: Any,
    diverged: Diverged,
    experiment: Experiment,
    state: GanState,
    batch: dict[str, jax.Array],
    about: dict[str, Any],
    rollbacks: int,
) -> storage.Path:
    """Writes the folder, where an earlier start has not left the very same, and returns it."""
    everywhere = jax.jit(lambda x: x, out_shardings=sharding.replicated(experiment.mesh))
    file = io.BytesIO()
    np.savez(file, **{name: np.asarray(value) for name, value in everywhere(batch).items()})
    told = {'step': diverged.step, 'term': diverged.term, 'rollbacks': rollbacks}
    files = {
        run_config.NAME: run_config.to_json(config).encode(),
        BATCH: file.getvalue(),
        RECORD: json.dumps(told, indent=2).encode() + b'\n',  # the last: then all is there
    }
    with stops_run(workdir):
        folder, there = _find_folder(storage.place(workdir, FOLDER, str(diverged.step)), files)
    if there:
        return folder
    checkpoints = Checkpoints(str(folder), keep=1)
    checkpoints.save(diverged.step - 1, state, about)
    checkpoints.wait()
    checkpoints.close()
    if processes.is_first():
        with stops_run(folder):
            metrics = storage.place(workdir, METRICS)
            if storage.exists(metrics):
                storage.write(folder / METRICS, storage.read(metrics))
            for name, content in files.items():
                storage.write(folder / name, content)
    return folder


def _find_folder(folder: storage.Path, files: dict[str, bytes]) -> tuple[storage.Path, bool]:
    """Returns `folder`, or one numbered behind it where others are, and whether it has these files already.

    A run that always meets one fault would else keep a checkpoint of it at every start. The first process decides.
    """
    number, there = 1, False
    while storage.exists(place := storage.numbered(folder, number)):
        there = all(_has(place / name, content) for name, content in files.items())
        if there:
            break
        number += 1
    number, there = (int(processes.of_the_first(value)) for value in (number, there))
    return storage.numbered(folder, number), bool(there)


def _has(path: storage.Path, content: bytes) -> bool:
    return storage.exists(path) and storage.read(path) == content
