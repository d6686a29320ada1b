"""What a run writes down: every scalar to `metrics.jsonl` and TensorBoard, pictures to PNG files and TensorBoard."""

import json
import math
import os
import pathlib
from typing import Any

import numpy as np
import PIL.Image

from gan_transfer.errors import from_user, stops_run
from gan_transfer.event_file import EventFile


class Writer:
    """Writes a run's numbers and pictures; a resumed run leaves no step twice.

    One line of `metrics.jsonl` is `{"step": 20, "images": 160, "seconds": ..., NAME: value, ...}`; a value that is
    not finite is written as null.
    """

    def __init__(self, workdir: str, step: int):
        """Goes on behind `step`: what an interrupted run has written of later steps is dropped."""
        self._workdir = pathlib.Path(workdir)
        self._path = self._workdir / 'metrics.jsonl'
        with from_user():
            _drop_after(self._path, step)
            self._lines = self._path.open('a')
            self._events = EventFile(self._workdir / 'tensorboard', step)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        """Writes one line. `values` are numbers, in order."""
        plain = {name: value.item() if hasattr(value, 'item') else value for name, value in values.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in plain.items()}
        with stops_run(self._path):
            self._lines.write(json.dumps({'step': step, **finite}) + '\n')
            self._lines.flush()
        with stops_run(self._events.path):
            self._events.scalars(step, {name: value for name, value in finite.items() if value is not None})

    def picture(self, step: int, images: int, picture: np.ndarray) -> str:
        """Writes `samples/IMAGES.png`, uint8 [h, w, 3], whole or not at all, and returns its path."""
        path = self._workdir / 'samples' / f'{images:08d}.png'
        with stops_run(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix('.tmp')
            PIL.Image.fromarray(picture).save(partial, format='png')
            partial.replace(path)
        with stops_run(self._events.path):
            self._events.picture(step, 'samples', picture)
        return str(path)

    def flush(self) -> None:
        """Brings everything to the disk: to be called before a checkpoint, behind which nothing is written again."""
        with stops_run(self._path):
            os.fsync(self._lines.fileno())
        with stops_run(self._events.path):
            self._events.flush()

    def close(self) -> None:
        with stops_run(self._path):
            self._lines.close()
        with stops_run(self._events.path):
            self._events.close()


class NoWriter:
    """In place of `Writer` on every process but the first."""

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        """Writes nothing."""

    def picture(self, step: int, images: int, picture: np.ndarray) -> str:
        """Writes nothing."""
        return ''

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def last_picture(workdir: str) -> str | None:
    """Returns the path of the newest sample grid of a run, if it has one."""
    paths = sorted(pathlib.Path(workdir, 'samples').glob('*.png'))
    return str(paths[-1]) if paths else None


def _drop_after(path: pathlib.Path, step: int) -> None:
    """Keeps the lines up to `step`; a line cut short by a kill goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            known = json.loads(line)['step'] <= step
        except ValueError:
            known = False
        if known:
            kept.append(line + '\n')
    partial = path.with_suffix('.tmp')
    partial.write_text(''.join(kept))
    partial.replace(path)
