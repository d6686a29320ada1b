"""What a run tells on the terminal: lines, and a progress bar where there is a terminal; the first process only."""

import math
import pathlib
import re
import time
from collections.abc import Sequence
from typing import Any

import jax
import rich.progress

from gan_transfer import processes
from gan_transfer.resume import Start
from gan_transfer.terminal import make_console

SHOWN_TERMS = 4, 2  # in a line of progress, of generators and discriminators


class _Speed(rich.progress.ProgressColumn):
    """Images per second, and how much time is left at that speed."""

    def render(self, task: rich.progress.Task) -> str:
        speed = task.fields['speed']
        if not speed:
            return 'compiling' if speed is None else 'measuring the speed'
        left = max(task.total - task.completed, 0) / speed
        return f'{speed:.1f} images/s, {duration(left)} left'


def shown_terms(names: Sequence[str]) -> list[str]:
    """Returns the scalars of a line of progress: a few terms of generators and of discriminators."""
    terms = [name for name in names if not re.search(r'norm$|_(score|sign)(_|$)', name)]
    sides = ([name for name in terms if name.startswith(side)] for side in ('generator', 'discriminator'))
    return [name for side, most in zip(sides, SHOWN_TERMS, strict=True) for name in side[:most]]


class Report:
    """Lines and progress of a training; use it in a `with`."""

    def __init__(self, *, total: int, done: int):
        """Args: images seen at the end, and so far."""
        self._console = make_console(quiet=not processes.is_first())
        self._total = total
        self._bar = rich.progress.Progress(
            rich.progress.BarColumn(),
            rich.progress.TextColumn('{task.completed:,} of {task.total:,} images'),
            _Speed(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task('', total=total, completed=done, speed=None)
        self._spoken = 0.0

    def __enter__(self) -> 'Report':
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Prints a line, above the bar."""
        self._console.print(text)

    def advance(self, images: int) -> None:
        """Moves the bar to so many images seen."""
        self._bar.update(self._task, completed=images)

    def compiled(self, text: str) -> None:
        """Says that the first step is done."""
        self._bar.update(self._task, speed=0.0)
        self.say(text)

    def measured(self, images: int, speed: float, terms: str) -> None:
        """Takes a measured speed in images/s; where there is no bar, says it, at most every ten seconds."""
        self._bar.update(self._task, completed=images, speed=speed)
        if self._bar.disable and time.monotonic() - self._spoken > 10:
            self._spoken = time.monotonic()
            left = duration((self._total - images) / speed)
            self.say(f'{images} of {self._total} images, {speed:.1f} images/s, {left} left; {terms}')


def describe(config: Any, dataset: Any, experiment: Any, start: Start, total: int) -> str:
    """Returns what a training starts with, for people."""
    parameters = {
        name: sum(math.prod(x.shape) for x in jax.tree.leaves(params))
        for name, params in experiment.abstract_state.params.items()
    }
    sizes = ', '.join(f'{name} {count / 1e6:.2f} M' for name, count in parameters.items())
    images = ', '.join(f'{name} {len(dataset.train[name])}' for name in dataset.domains)
    if dataset.faults.count:
        images += f'; unreadable and not used: {dataset.faults.count}'
    first = 'a new run' if start.state is None else f'resuming at {start.step * config.batch_size} images'
    devices = f'{jax.device_count()} {jax.default_backend()} device(s)'
    sizes_of_mesh = ' x '.join(f'{name} {size}' for name, size in experiment.mesh.shape.items() if size > 1)
    if sizes_of_mesh:
        devices += f': {sizes_of_mesh}'
    if jax.process_count() > 1:
        devices += (
            f'\n{jax.process_count()} processes; where one is lost the others end within '
            f'{processes.HEARTBEAT_SECONDS} s or so, and the same commands go on from the last checkpoint'
        )
    return (
        f'{config.method.name} at {config.image_size} px on {devices}\n'
        f'data: {dataset.name}; training images: {images}\n'
        f'parameters: {sizes}\n'
        f'{first}; {total} steps of {config.batch_size} images in all'
    )


def duration(seconds: float) -> str:
    """Returns a time for people: 41 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 100:
        return f'{whole} s'
    if whole < 6000:
        return f'{whole // 60} min {whole % 60} s'
    return f'{whole // 3600} h {whole % 3600 // 60} min'


def cached_programs() -> int:
    """Returns how many compiled training steps the compilation cache holds."""
    folder = jax.config.jax_compilation_cache_dir
    return len(list(pathlib.Path(folder).glob('jit_train_step-*'))) if folder else 0
