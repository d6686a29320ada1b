"""What a run writes down: every scalar to `metrics.jsonl` and TensorBoard, pictures to PNG files and TensorBoard."""

import json
import math
import pathlib
from typing import Any

import numpy as np
import PIL.Image
import tensorboardX

from gan_transfer.errors import from_user


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
            # Also from step 0, where a run that had no checkpoint yet starts anew.
            self._board = tensorboardX.SummaryWriter(str(self._workdir / 'tensorboard'), purge_step=step + 1)

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        """Writes one line. `values` are numbers, in order."""
        plain = {name: value.item() if hasattr(value, 'item') else value for name, value in values.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in plain.items()}
        self._lines.write(json.dumps({'step': step, **finite}) + '\n')
        self._lines.flush()
        for name, value in finite.items():
            if value is not None:
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, images: int, picture: np.ndarray) -> str:
        """Writes `samples/IMAGES.png`, uint8 [h, w, 3], and returns its path."""
        path = self._workdir / 'samples' / f'{images:08d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(picture).save(path)
        self._board.add_image('samples', picture, step, dataformats='HWC')
        return str(path)

    def close(self) -> None:
        self._lines.close()
        self._board.close()


class NoWriter:
    """In place of `Writer` on every process but the first."""

    def scalars(self, step: int, values: dict[str, Any]) -> None:
        """Writes nothing."""

    def picture(self, step: int, images: int, picture: np.ndarray) -> str:
        """Writes nothing."""
        return ''

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
