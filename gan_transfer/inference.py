"""Translating with a trained run, or in the middle of a training: what samples, translate and evaluate share."""

import contextlib
import sys
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_transfer import sharding
from gan_transfer.checkpoint import BEST, NEWEST, Checkpoints
from gan_transfer.errors import UserError, from_user
from gan_transfer.experiment import Experiment, make_experiment, make_method
from gan_transfer.state import to_uint8


class Translator:
    """Translates batches of any length in parts of one length, so that one compiled program serves all."""

    def __init__(self, experiment: Experiment, batch_size: int, seed: int = 0):
        """Args: an experiment; images in a part; the seed of what a method draws while it translates.

        The devices of the experiment's mesh share a part, which is made longer where they do not divide it. Every
        process is given the whole batch, and gets all of the images.
        """
        self._experiment = experiment
        self._key = jax.random.key(seed)
        shares = sharding.batch_parts(experiment.mesh)
        self._batch_size = -(-batch_size // shares) * shares
        self._finish = jax.jit(to_uint8, out_shardings=sharding.replicated(experiment.mesh))

    def __call__(self, params: dict[str, Any], batch: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the translated images of `batch`, uint8 [b, h, w, 3], by the generator side's `params`."""
        count = len(batch['source'])
        parts = []
        for start in range(0, count, self._batch_size):
            part = {
                name: _filled(x[start : start + self._batch_size], self._batch_size)
                for name, x in batch.items()
            }
            placed = {name: sharding.from_all(self._experiment.mesh, x) for name, x in part.items()}
            images = self._experiment.translate(params, placed, self._key)
            parts.append(np.asarray(self._finish(images)))
        return np.concatenate(parts)[:count]


class Run(NamedTuple):
    """A trained run: its networks with the newest checkpoint's weights, its domains, and the checkpoint's step.

    `directions` are the pairs of source and target domain that it translates between: the method's, or fewer where
    the run was imported from files that lack a generator.
    """

    experiment: Experiment
    params: dict[str, Any]
    domains: tuple[str, ...]
    step: int
    directions: tuple[tuple[int, int], ...]


def open_run(config: Any, workdir: str, folder: str = NEWEST) -> Run:
    """Opens the newest checkpoint in a folder of a run, on all devices of all processes; no data set is needed.

    Raises:
      UserError: where there is none, it is damaged (see `checkpoint.on_damage`), it is of another config, or it was
        imported without any generator.
    """
    checkpoints = Checkpoints(workdir, folder=folder)
    if checkpoints.latest() is None:
        none = (
            'no best checkpoint: evaluate_every_images keeps one' if folder == BEST else 'no checkpoint yet'
        )
        raise UserError(f'the run in {workdir!r} has {none}')

    def read(step: int) -> Run:
        about = checkpoints.about(step)
        domains = tuple(about['domains'])
        mesh = sharding.inference_mesh(jax.devices(), **config.mesh)
        with from_user():
            make_method(config).check(config.image_size, len(domains))
        experiment = make_experiment(config, domains=len(domains), mesh=mesh)
        state = checkpoints.restore(step, experiment.abstract_state)
        directions = about.get('directions', experiment.method.directions(len(domains)))
        if not directions:
            raise UserError(
                f'the run in {workdir!r} translates nothing: the files that it was imported from have no generator'
            )
        return Run(experiment, state.translate_params, domains, step, tuple(map(tuple, directions)))

    with contextlib.closing(checkpoints):
        run, damaged = checkpoints.newest(read, config.checkpoint.on_damage)
    for error in damaged:
        print(f'warning: {error}; step {run.step} is taken instead', file=sys.stderr)
    return run


def _filled(x: np.ndarray, length: int) -> np.ndarray:
    """Repeats the last row up to `length` rows."""
    return x if len(x) == length else np.concatenate([x, np.repeat(x[-1:], length - len(x), axis=0)])
