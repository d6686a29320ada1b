"""Checkpoints by Orbax: the newest few, whole or not at all, onto any number of devices.

Only this file knows Orbax's API, which its version 1.0 changes.
"""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from gan_transfer.errors import UserError, from_user
from gan_transfer.state import GanState, copy

STATE, ABOUT, SHAPES = 'state', 'about', 'shapes'
NEWEST, BEST = 'checkpoints', 'best'  # folders in the run's


class Checkpoints:
    """The checkpoints of a run, in `WORKDIR/checkpoints/STEP`, or the best one in `WORKDIR/best/STEP`."""

    def __init__(self, workdir: str, *, keep: int = 0, folder: str = NEWEST):
        """Opens the folder.

        Args:
          workdir: the run's folder.
          folder: which of its folders.
          keep: how many of the newest checkpoints stay, to write some: makes the folder, and removes from it what a
            killed save has left. 0: only to read.

        Raises:
          UserError: where the folder cannot be made.
        """
        path = pathlib.Path(workdir).absolute() / folder
        options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.LatestN(max(keep, 1)),
            cleanup_tmp_directories=keep > 0,
            create=False,
        )
        if keep:
            with from_user():
                path.mkdir(parents=True, exist_ok=True)
        there = keep > 0 or path.is_dir()
        self._manager = ocp.CheckpointManager(path, options=options) if there else None

    def latest(self) -> int | None:
        """Returns the newest finished step, or None."""
        return self._manager.latest_step() if self._manager else None

    def save(self, step: int, state: GanState, about: dict[str, Any]) -> None:
        """Starts to save; writing goes on in the background. A step that is there already stays as it is.

        Args:
          step: the state's step.
          state: global arrays.
          about: what else to remember, as JSON.
        """
        if step != self.latest():
            args = ocp.args.Composite(
                state=ocp.args.StandardSave(state), about=ocp.args.JsonSave({**about, SHAPES: _shapes(state)})
            )
            self._manager.save(step, args=args)

    def restore(self, step: int, abstract_state: GanState) -> GanState:
        """Returns the state of `step`, with the shapes, types and shardings of `abstract_state`.

        Raises:
          UserError: where the checkpoint has other networks or other shapes.
        """
        wanted = _shapes(abstract_state)
        there = self.about(step).get(SHAPES, wanted)
        differing = [name for name in sorted(there | wanted) if there.get(name) != wanted.get(name)]
        if differing:
            name = differing[0]
            raise UserError(
                f'the checkpoint of step {step} has other networks or sizes than the config asks for: {name} is '
                f'{there.get(name, "missing")}, not {wanted.get(name, "there")} ({len(differing)} such arrays)'
            )
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract_state))
        restored = self._manager.restore(step, args=args)[STATE]
        # Restored arrays may share the checkpoint reader's memory; a step donates its state, so take copies.
        shardings = jax.tree.map(lambda x: x.sharding, abstract_state)
        return jax.jit(copy, out_shardings=shardings)(restored)

    def about(self, step: int) -> dict[str, Any]:
        """Returns what was remembered with `step`."""
        return self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))[ABOUT]

    def preempted(self, step: int) -> bool:
        """Returns whether all processes are to save `step` and leave (several processes only)."""
        return self._manager.reached_preemption(step)

    def wait(self) -> None:
        """Waits until what was saved is on disk; raises what went wrong with it."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        if self._manager:
            self._manager.close()


def _shapes(state: Any) -> dict[str, list[int]]:
    """Returns the shape of every array by its path. Orbax tells these only to one who restores, and badly."""
    paths = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator='/'): list(x.shape) for path, x in paths}
