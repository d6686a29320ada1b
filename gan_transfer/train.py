"""The only loop: set up, restore, then batch, step, log, sample, save; any method, any data, any number of devices."""

import contextlib
import math
import signal
import time
from typing import Any

import jax

from gan_transfer import data, divergence, host_memory, optimizer, processes, run_config, sharding
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.collapse import CollapseWatch
from gan_transfer.divergence import Diverged
from gan_transfer.errors import RunStopped, from_user
from gan_transfer.evaluation.in_training import EvaluationLeft, InTraining, forget_best_after
from gan_transfer.experiment import Experiment, make_experiment, make_method, open_dataset
from gan_transfer.interruption import Interruption
from gan_transfer.report import Report, cached_programs, describe, shown_terms
from gan_transfer.resume import Start, check_log, find_start, owes_evaluation, remembered
from gan_transfer.run_lock import locked
from gan_transfer.sampler import Sampler
from gan_transfer.state import GanState
from gan_transfer.writer import NoWriter, Writer, last_picture

AnyWriter = Writer | NoWriter


def train(config: Any, workdir: str, *, allow_change: bool = False, defaults: Any = None) -> int:
    """Trains until `config.train_images` are seen, from the newest checkpoint in `workdir` if there is one.

    Args:
      config: the resolved config.
      workdir: the run's folder.
      allow_change: go on where the config saved with the run, or the training images, differ.
      defaults: what stands for keys that the run is older than.

    Returns:
      the exit status: 0, or 128 + the number of the signal that interrupted the training.

    Raises:
      UserError: for data or a config that cannot be used, a run that is being trained already, a damaged checkpoint.
      RunStopped: where a term is not finite or the disk is full; the checkpoints before stay.
    """
    started = time.monotonic()
    changes = run_config.check_unchanged(workdir, config, allow_change=allow_change, defaults=defaults)
    dataset = open_dataset(config)
    with from_user():
        make_method(config).check(config.image_size, len(dataset.domains))
    experiment = make_experiment(config, domains=len(dataset.domains), mesh=sharding.make_mesh(**config.mesh))
    with locked(workdir):
        checkpoints = Checkpoints(workdir, keep=config.keep_checkpoints)
        start = find_start(checkpoints, experiment, config, dataset, allow_change=allow_change)
        if start.state is None:
            check_log(config, workdir)
        changes += start.changes
        total = math.ceil(config.train_images / config.batch_size)
        report = Report(total=total * config.batch_size, done=start.step * config.batch_size)
        for line in (*(f'changed: {change}' for change in changes), *start.notes):
            report.say(line)
        owed = owes_evaluation(config, workdir, start)
        if start.state is not None and start.step >= total and not owed:
            report.say(f'finished: {start.step * config.batch_size} images are seen; nothing left to do')
            return _finish(report, workdir)
        loop = _Loop(config, workdir, dataset, experiment, checkpoints, report, started)
        loop.pipeline(start.step).close()  # refuses data before a saved config holds the run to it
        if changes:  # a best state of the course that is left
            forget_best_after(loop.evaluation, workdir, start.step)
        if processes.is_first():
            run_config.note_changes(workdir, changes if start.step else [], start.step * config.batch_size)
            run_config.save(workdir, config)
        report.say(describe(config, dataset, experiment, start, total))
        return loop.run(start, total, owed=owed) or _finish(report, workdir)


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
        self.sampler = Sampler(config, dataset, experiment)
        self.collapse = CollapseWatch()
        self.key = jax.random.key(config.seed)
        self.evaluation = None
        if config.evaluate_every_images:
            with from_user():
                self.evaluation = InTraining(config, workdir, dataset, experiment)
        self.begun = started  # this start, or going on after a rollback
        self.seconds_before = 0.0  # of earlier starts of this run
        self.rollbacks = 0  # in this and earlier starts; each has a data order of its own
        self.owed = False  # the evaluation of the step that the run was left at

    def run(self, start: Start, total: int, *, owed: bool) -> int:
        """Takes the steps after `start`, which may owe its evaluation, up to `total`; returns the exit status."""
        self.seconds_before = start.about.get('seconds', 0.0)
        made = divergence.rollbacks_behind(self.workdir, start.step)
        self.rollbacks = max(start.about.get('rollbacks', 0), int(processes.of_the_first(made)))
        self.owed = owed
        first, state = start.step, start.state or self.experiment.init(self.config.seed)
        with self.report, Interruption() as interruption, self.checkpoints.kept_at_an_error():
            while True:
                try:
                    step = self._steps(first, state, total, interruption)
                    break
                except Diverged as diverged:
                    self.owed = False
                    self._stop_or_roll_back(diverged)
                    first, state, self.begun = *self._last_good(), time.monotonic()
            self.checkpoints.wait()
            self.checkpoints.close()
            if self.evaluation:
                self.evaluation.close()
        if step < total or self.owed:
            number, images = interruption.signal or signal.SIGTERM, step * self.config.batch_size
            name = signal.Signals(number).name
            self.report.say(f'{name}: saved at {images} images; the same command goes on')
            return 128 + number
        if self.evaluation:
            self.report.say(self.evaluation.summary())
        return 0

    def _steps(self, first: int, state: GanState, total: int, interruption: Interruption) -> int:
        """Takes the steps after `first`, which `state` is of; returns the last: `total`, or where it was interrupted.

        Raises:
          Diverged: where a term was not finite.
        """
        batch_size, cached = self.config.batch_size, cached_programs()
        writer = Writer(self.workdir, first) if processes.is_first() else NoWriter()
        with contextlib.closing(self.pipeline(first)) as pipeline, contextlib.closing(writer):
            if self.owed and not self._evaluated(writer, first, state, interruption):
                return first
            self.owed, step = False, first
            mark, mark_step = time.monotonic(), first
            for step, batch in zip(range(first + 1, total + 1), pipeline, strict=False):
                state, scalars = self.experiment.train_step(state, batch, self.key)
                self.report.advance(step * batch_size)
                if step == first + 1:
                    self._first_step_done(scalars, cached)
                    mark, mark_step = time.monotonic(), step
                if self._due(step, total, self.config.log_every_images):
                    self._log(writer, state, scalars, step, mark, mark_step)
                    mark, mark_step = time.monotonic(), step
                interrupted = interruption.agreed()
                sample = self._due(step, total, self.config.sample_every_images)
                save = self._due(step, total, self.config.checkpoint_every_images) or interrupted
                evaluate = bool(self.evaluation) and self._due(step, total, self.config.evaluate_every_images)
                # It may take longer than there is time to leave: done when the run goes on.
                self.owed, evaluate = evaluate and interrupted, evaluate and not interrupted
                if sample or save or evaluate:
                    divergence.check(state, scalars)  # waits for the steps under way
                    paused = time.monotonic()
                    if sample:
                        self._sample(writer, step, state)
                    if evaluate:
                        self.owed = interrupted = not self._evaluated(writer, step, state, interruption)
                    if save or interrupted:
                        if self.evaluation:
                            self.evaluation.wait()  # or a kill could leave this one without the best before it
                        writer.flush()
                        self.checkpoints.save(step, state, self._about(step))
                    mark += time.monotonic() - paused
                if interrupted:
                    break
        return step

    def pipeline(self, first: int) -> Any:
        method = self.experiment.method
        with from_user():
            return data.make_pipeline(
                self.dataset,
                self.config,
                fields=method.batch_fields,
                sampling=method.sampling,
                latent_size=method.latent_size,
                start_step=first,
                order=self.rollbacks,
                mesh=self.experiment.mesh,
            )

    def _last_good(self) -> tuple[int, GanState]:
        """Returns the newest good checkpoint, or the first state; no state with a fault is ever saved."""
        self.checkpoints.wait()
        start = find_start(self.checkpoints, self.experiment, self.config, self.dataset)
        for note in start.notes:
            self.report.say(note)
        return start.step, start.state or self.experiment.init(self.config.seed)

    def _stop_or_roll_back(self, diverged: Diverged) -> None:
        """Keeps what the fault was met with; counts a rollback.

        Raises:
          RunStopped: where the config asks for none, or no more.
        """
        config, (first, state) = self.config, self._last_good()
        back = config.on_divergence == 'rollback' and self.rollbacks < config.max_rollbacks
        if back:  # before the rollback counts: a kill between them would keep that best state
            forget_best_after(self.evaluation, self.workdir, first)
        with contextlib.closing(self.pipeline(first)) as pipeline:
            given = {'first': first, 'state': state, 'pipeline': pipeline, 'key': self.key}
            kept = {'about': self._about(diverged.step - 1), 'rollbacks': self.rollbacks + back}
            told = divergence.examine(self.workdir, config, diverged, self.experiment, **given, **kept)
        if not back:
            tried = f'{self.rollbacks} rollbacks did not help; ' if self.rollbacks else ''
            saved = self.checkpoints.latest()
            left = 'no checkpoint was' if saved is None else f'the newest checkpoint, of step {saved}, was'
            raise RunStopped(f'{told}; {tried}{left} saved before; a lower learning rate or float32 may help')
        self.rollbacks += 1
        self.report.say(
            f'{told}; rollback {self.rollbacks} of {config.max_rollbacks}: '
            f'going on from step {first} with the data in another order'
        )

    def _due(self, step: int, total: int, every_images: int) -> bool:
        """Whether this step sees the image that completes another `every_images`; always at the end."""
        batch_size = self.config.batch_size
        return step == total or step * batch_size // every_images > (step - 1) * batch_size // every_images

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def _first_step_done(self, scalars: dict[str, jax.Array], cached: int) -> None:
        jax.block_until_ready(scalars)
        host_memory.keep_freed_memory()
        new = cached_programs() - cached
        cache = 'off' if not jax.config.jax_compilation_cache_dir else 'cold' if new else 'warm'
        self.report.compiled(
            f'first step after {time.monotonic() - self.begun:.1f} s (compilation cache: {cache})'
        )

    def _log(
        self,
        writer: AnyWriter,
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
        rates = optimizer.rates(self.experiment.optimizers, images - self.config.batch_size)
        writer.scalars(step, {**timing, **rates, **values})
        terms = ', '.join(f'{name} {values[name]:.3g}' for name in shown_terms(list(values)))
        if speed:
            self.report.measured(images, speed, terms)
        for warning in self.collapse.logged(values):
            self.report.say(f'warning: {warning}')
        divergence.check(state, scalars)

    def _sample(self, writer: AnyWriter, step: int, state: GanState) -> None:
        translated = self.sampler.translate(state)
        writer.picture(step, step * self.config.batch_size, self.sampler.draw(translated))
        for warning in self.collapse.sampled(self.sampler.samples, translated):
            self.report.say(f'warning: {warning}')

    def _evaluated(self, writer: AnyWriter, step: int, state: GanState, interruption: Interruption) -> bool:
        """Evaluates; returns whether that came to its end before the run was interrupted."""
        images = step * self.config.batch_size
        about = {**self._about(step), 'owed_evaluation': False}
        try:
            values = self.evaluation(step, state, about, interruption.agreed)
        except EvaluationLeft:
            return False
        if self.owed:
            self.evaluation.wait()  # the line says that it was made, and the best is kept
        writer.scalars(step, {'images': images, 'seconds': round(self._seconds(), 3), **values})
        self.report.say(f'{images} images: {self.evaluation.summary()}')
        return True

    def _about(self, step: int) -> dict[str, Any]:
        """Returns what is remembered with a checkpoint."""
        more = {'seconds': self._seconds(), 'rollbacks': self.rollbacks, 'owed_evaluation': self.owed}
        return {**remembered(self.dataset, step * self.config.batch_size), **more}


def _finish(report: Report, workdir: str) -> int:
    if seen := last_picture(workdir):
        report.say(seen)
    return 0
