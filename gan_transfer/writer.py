"""What a run writes down: every scalar to `metrics.jsonl` and TensorBoard, pictures to PNG files and TensorBoard."""

import io
import json
import math
from typing import Any

import numpy as np
import PIL.Image

from gan_transfer import storage
from gan_transfer.errors import from_user, stops_run
from gan_transfer.event_file import EventFile
from gan_transfer.growing_file import GrowingFile

METRICS = 'metrics.jsonl'


class Writer:
    """Writes a run's numbers and pictures; a resumed run leaves no step twice.

    One line of `metrics.jsonl` is `{"step": 20, "images": 160, "seconds": ..., NAME: value, ...}`; a value that is
    not finite is written as null.
    """

    def __init__(self, workdir: str, step: int):
        """Goes on behind `step`: what an interrupted run has written of later steps is dropped."""
        self._workdir = storage.place(workdir)
        self._path = self._workdir / METRICS
        with from_user():
            kept = b''.join(text for _, text in _lines_up_to(self._path, step))
        with stops_run(self._path):
            self._lines = GrowingFile(self._path, kept)
        with stops_run(self._workdir / 'tensorboard'):
            self._events = EventFile(self._workdir / 'tensorboard', step)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        """Writes one line. `values` are numbers, in order."""
        plain = {name: value.item() if hasattr(value, 'item') else value for name, value in values.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in plain.items()}
        with stops_run(self._path):
            self._lines.write(json.dumps({'step': step, **finite}).encode() + b'\n')
        with stops_run(self._events.path):
            self._events.scalars(step, {name: value for name, value in finite.items() if value is not None})

    def picture(self, step: int, images: int, picture: np.ndarray) -> str:
        """Writes `samples/IMAGES.png`, uint8 [h, w, 3], whole or not at all, and returns its path."""
        path = self._workdir / 'samples' / f'{images:08d}.png'
        with stops_run(path):
            file = io.BytesIO()
            PIL.Image.fromarray(picture).save(file, format='png')
            storage.write(path, file.getvalue())
        with stops_run(self._events.path):
            self._events.picture(step, 'samples', picture)
        return str(path)

    def flush(self) -> None:
        """Brings everything to the disk: to be called before a checkpoint, behind which nothing is written again."""
        with stops_run(self._path):
            self._lines.flush()
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
    folder = storage.place(workdir, 'samples')
    with stops_run(folder), storage.reached(folder):
        paths = sorted(folder.glob('*.png'))
    return str(paths[-1]) if paths else None


def evaluated(workdir: str, step: int) -> bool:
    """Whether a run has written an evaluation of `step`."""
    with from_user():
        lines = _lines_up_to(storage.place(workdir, METRICS), step)
    return any(
        name.startswith('evaluation/') for values, _ in lines if values['step'] == step for name in values
    )


def last_images(workdir: str) -> float:
    """Returns how many images had been seen by the last line of a run's log; 0 where it has none."""
    with from_user():
        lines = _lines_up_to(storage.place(workdir, METRICS), math.inf)
    images = [values.get('images') for values, _ in lines]
    return next((count for count in reversed(images) if isinstance(count, int | float)), 0)


def _lines_up_to(path: storage.Path, step: float) -> list[tuple[dict[str, Any], bytes]]:
    """Returns the lines of a file, if it is there, up to `step`, read and as they are; none cut short by a kill."""
    text = storage.read(path) if storage.exists(path) else b''
    kept = []
    for line in text.split(b'\n'):
        try:
            values = json.loads(line)
            known = values['step'] <= step
        except (ValueError, KeyError, TypeError):  # or no line of ours
            known = False
        if known:
            kept.append((values, line + b'\n'))
    return kept
