"""Checkpoints by Orbax: the newest few, whole or not at all, onto any number of devices.

Only this file knows Orbax's API, which its version 1.0 changes.
"""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from gan_transfer.state import GanState, copy

STATE, ABOUT = 'state', 'about'


class Checkpoints:
    """The checkpoints of a run, in `WORKDIR/checkpoints/STEP`."""

    def __init__(self, workdir: str, *, keep: int = 1, read_only: bool = False):
        """Opens the folder, makes it when it is not there, and removes what a killed save has left.

        Args:
          workdir: the run's folder.
          keep: how many of the newest checkpoints stay.
          read_only: touch nothing.
        """
        folder = pathlib.Path(workdir).absolute() / 'checkpoints'
        options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.LatestN(keep),
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            read_only=read_only,
        )
        self._manager = ocp.CheckpointManager(folder, options=options) if _there(folder, read_only) else None

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
            self._manager.save(
                step,
                args=ocp.args.Composite(state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about)),
            )

    def restore(self, step: int, abstract_state: GanState) -> GanState:
        """Returns the state of `step`, with the shapes, types and shardings of `abstract_state`.

        Raises:
          ValueError: where the checkpoint has other networks or other shapes.
        """
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


def _there(folder: pathlib.Path, read_only: bool) -> bool:  # noqa: FBT001
    return folder.exists() or not read_only
