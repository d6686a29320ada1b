"""The only loop: set up, restore, then batch, step, log, sample, save; any method, any data, any number of devices."""

import contextlib
import importlib.metadata
import math
import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gan_transfer import data, pictures, processes, run_config, sharding
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.errors import RunStopped, UserError, from_user
from gan_transfer.evaluation.in_training import InTraining
from gan_transfer.experiment import Experiment, make_experiment, make_method
from gan_transfer.inference import Translator
from gan_transfer.interruption import Interruption
from gan_transfer.report import Report, describe
from gan_transfer.state import GanState
from gan_transfer.writer import NoWriter, Writer, last_picture

SHOWN_TERMS = 4  # scalars in a line of progress


def train(config: Any, workdir: str, *, allow_config_change: bool = False) -> int:
    """Trains until `config.train_images` are seen, from the newest checkpoint in `workdir` if there is one.

    Args:
      config: the resolved config.
      workdir: the run's folder.
      allow_config_change: go on where the config saved with the run differs.

    Returns:
      the exit status: 0, or 128 + the number of the signal that interrupted the training.

    Raises:
      UserError: for data or a config that cannot be used.
      RunStopped: where a term is not finite; the checkpoints before it stay.
    """
    started = time.monotonic()
    changes = run_config.check_unchanged(workdir, config, allow_change=allow_config_change)
    with from_user():
        dataset = processes.after_the_first(lambda: data.open_dataset(config))
        make_method(config).check(config.image_size, len(dataset.domains))
    mesh = sharding.make_mesh(**config.mesh)
    experiment = make_experiment(config, domains=len(dataset.domains), mesh=mesh)
    checkpoints = Checkpoints(workdir, keep=config.keep_checkpoints)
    first, total = checkpoints.latest() or 0, math.ceil(config.train_images / config.batch_size)
    if first:
        _check_checkpoint(checkpoints.about(first), first, config, dataset.domains)
    report = Report(total=total * config.batch_size, done=first * config.batch_size)
    for change in changes:
        report.say(f'config changed: {change}')
    if first >= total:
        report.say(f'finished: {first * config.batch_size} images are seen; nothing left to do')
        return _finish(report, workdir)
    if processes.is_first():
        run_config.save(workdir, config)
    report.say(describe(config, dataset, experiment, first, total))
    loop = _Loop(config, workdir, dataset, experiment, checkpoints, report, started)
    status = loop.run(first, total)
    return _finish(report, workdir) if status == 0 else status


def _check_checkpoint(about: dict[str, Any], step: int, config: Any, domains: tuple[str, ...]) -> None:
    """Refuses to go on from a checkpoint whose steps or labels would mean something else now.

    Raises:
      UserError: where batch size or domains differ.
    """
    if about['images'] != step * config.batch_size:
        raise UserError(
            f'batch_size is {config.batch_size}; the checkpoint of step {step} has seen {about["images"]} images, '
            f'{about["images"] // step} a step, and a run cannot change that'
        )
    if tuple(about['domains']) != tuple(domains):
        raise UserError(
            f'the data has the domains {", ".join(domains)}; the run was started with {", ".join(about["domains"])}'
        )


class _Loop:
    """What the loop has at hand while it goes; `run` is the loop."""

    def __init__(
        self,
        config: Any,
        workdir: str,
        dataset: Any,
        experiment: Experiment,
        checkpoints: Checkpoints,
        report: Report,
        started: float,
    ):
        self.config, self.workdir, self.dataset, self.experiment = config, workdir, dataset, experiment
        self.checkpoints, self.report, self.started = checkpoints, report, started
        self.sample = _make_sampler(config, dataset, experiment)
        self.evaluation = None
        if config.evaluate_every_images:
            with from_user():
                self.evaluation = InTraining(config, workdir, dataset, experiment)
        self.seconds_before = 0.0  # of earlier starts of this run

    def run(self, first: int, total: int) -> int:
        """Takes the steps after `first` up to `total`; returns the exit status."""
        config, batch_size = self.config, self.config.batch_size
        state = self._first_state(first)
        cached = _cached_programs()
        key = jax.random.key(config.seed)
        with from_user():
            pipeline = _make_pipeline(config, self.dataset, self.experiment, first)
        writer = Writer(self.workdir, first) if processes.is_first() else NoWriter()
        with (
            contextlib.closing(pipeline),
            contextlib.closing(writer),
            self.report,
            Interruption() as interruption,
        ):
            mark, mark_step = time.monotonic(), first
            for step, batch in zip(range(first + 1, total + 1), pipeline, strict=False):
                state, scalars = self.experiment.train_step(state, batch, key)
                self.report.advance(step * batch_size)
                if step == first + 1:
                    self._first_step_done(scalars, cached)
                    mark, mark_step = time.monotonic(), step
                if self._due(step, total, config.log_every_images):
                    self._log(writer, state, scalars, step, mark, mark_step)
                    mark, mark_step = time.monotonic(), step
                interrupted = self._interrupted(interruption, step)
                sample = self._due(step, total, config.sample_every_images) and not interrupted
                save = self._due(step, total, config.checkpoint_every_images) or interrupted
                evaluate = self.evaluation and not interrupted
                evaluate = evaluate and self._due(step, total, config.evaluate_every_images)
                if sample or save or evaluate:
                    self._stop_at_fault(state, scalars)  # waits for the steps under way
                    paused = time.monotonic()
                    if sample:
                        writer.picture(step, step * batch_size, self.sample(state))
                    if evaluate:
                        self._evaluate(writer, step, state)
                    if save:
                        self.checkpoints.save(step, state, self._about(step))
                    mark += time.monotonic() - paused
                if interrupted:
                    break
            self.checkpoints.wait()
            self.checkpoints.close()
            if self.evaluation:
                self.evaluation.close()
        if interrupted and step < total:
            number = interruption.signal or signal.SIGTERM
            self.report.say(
                f'{signal.Signals(number).name}: saved at {step * batch_size} images; the same command goes on'
            )
            return 128 + number
        if self.evaluation:
            self.report.say(self.evaluation.summary())
        return 0

    def _first_state(self, first: int) -> GanState:
        if not first:
            return self.experiment.init(self.config.seed)
        self.seconds_before = self.checkpoints.about(first)['seconds']
        return self.checkpoints.restore(first, self.experiment.abstract_state)

    def _due(self, step: int, total: int, every_images: int) -> bool:
        """Whether this step sees the image that completes another `every_images`; always at the end."""
        batch_size = self.config.batch_size
        return step == total or step * batch_size // every_images > (step - 1) * batch_size // every_images

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def _first_step_done(self, scalars: dict[str, jax.Array], cached: int) -> None:
        jax.block_until_ready(scalars)
        new = _cached_programs() - cached
        cache = 'off' if not jax.config.jax_compilation_cache_dir else 'cold' if new else 'warm'
        self.report.compiled(
            f'first step after {time.monotonic() - self.started:.1f} s (compilation cache: {cache})'
        )

    def _log(
        self,
        writer: Writer | NoWriter,
        state: GanState,
        scalars: dict[str, jax.Array],
        step: int,
        mark: float,
        mark_step: int,
    ) -> None:
        """Writes the scalars of this very step, so that a resumed run writes the same numbers."""
        values = jax.device_get(scalars)
        images = step * self.config.batch_size
        speed = (step - mark_step) * self.config.batch_size / max(time.monotonic() - mark, 1e-6)
        timing = {
            'images': images,
            'seconds': round(self._seconds(), 3),
            'images_per_second': round(speed, 3),
        }
        if step == mark_step:  # the step that compiled has no speed
            del timing['images_per_second']
        writer.scalars(step, {**timing, **values})
        shown = [name for name in values if name.startswith('generator') and 'norm' not in name][:SHOWN_TERMS]
        terms = ', '.join(f'{name} {values[name]:.3g}' for name in shown)
        if speed:
            self.report.measured(images, speed, terms)
        self._stop_at_fault(state, scalars)

    def _stop_at_fault(self, state: GanState, scalars: dict[str, jax.Array]) -> None:
        """Raises RunStopped when some term was not finite, naming the first one."""
        term, step = int(state.fault.term), int(state.fault.step)
        if term < 0:
            return
        self.checkpoints.wait()
        saved = self.checkpoints.latest()
        left = (
            f'the checkpoint of step {saved} is from before it' if saved else 'no checkpoint was saved before'
        )
        raise RunStopped(
            f'{sorted(scalars)[term]} is not finite at step {step + 1} ({(step + 1) * self.config.batch_size} images): '
            f'the first such term; {left}; a lower learning rate or float32 may help'
        )

    def _interrupted(self, interruption: Interruption, step: int) -> bool:
        if jax.process_count() > 1:
            return self.checkpoints.preempted(step)
        return interruption.signal is not None

    def _evaluate(self, writer: Writer | NoWriter, step: int, state: GanState) -> None:
        images = step * self.config.batch_size
        values = self.evaluation(step, state, self._about(step))
        writer.scalars(step, {'images': images, 'seconds': round(self._seconds(), 3), **values})
        self.report.say(f'{images} images: {self.evaluation.summary()}')

    def _about(self, step: int) -> dict[str, Any]:
        """Returns what is remembered with a checkpoint."""
        return {
            'images': step * self.config.batch_size,
            'seconds': self._seconds(),
            'domains': list(self.dataset.domains),
            'data': self.dataset.name,
            'versions': {name: importlib.metadata.version(name) for name in ('jax', 'flax', 'optax')},
        }


def _make_sampler(config: Any, dataset: Any, experiment: Experiment) -> Callable[[GanState], np.ndarray]:
    """Returns a function that draws the sample grid of a state: the same test images every time."""
    size = (config.image_size, config.image_size)
    method = experiment.method
    samples = pictures.choose_samples(
        dataset,
        method.translate_fields,
        method.directions(len(dataset.domains)),
        lambda example: data.resize(example.image, size),
        config,
    )
    translator = Translator(
        experiment, min(config.evaluate_batch_size, len(samples.batch['source'])), config.seed
    )

    def sample(state: GanState) -> np.ndarray:
        picture = pictures.draw(samples, lambda batch: translator(state.translate_params, batch))
        return pictures.magnify(picture, config.image_size)

    return sample


def _make_pipeline(config: Any, dataset: Any, experiment: Experiment, start_step: int) -> Any:
    method = experiment.method
    return data.make_pipeline(
        dataset,
        config,
        fields=method.batch_fields,
        sampling=method.sampling,
        latent_size=method.latent_size,
        start_step=start_step,
        mesh=experiment.mesh,
    )


def _cached_programs() -> int:
    """How many compiled training steps the compilation cache holds."""
    folder = jax.config.jax_compilation_cache_dir
    return len(list(pathlib.Path(folder).glob('jit_train_step-*'))) if folder else 0


def _finish(report: Report, workdir: str) -> int:
    seen = last_picture(workdir)
    if seen:
        report.say(seen)
    return 0
