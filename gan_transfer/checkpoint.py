"""Checkpoints by Orbax: the newest few, whole or not at all, onto any number of devices, verified when they are read.

Orbax silently restores wrong numbers where a byte of its files has changed. With every state its fingerprints are
kept, taken from the arrays that were saved; what is restored must have the same ones.

Only this file knows Orbax's API, which its version 1.0 changes.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from gan_transfer import processes, storage
from gan_transfer.errors import RunStopped, UserError, from_user
from gan_transfer.fingerprint import fingerprints, named_leaves
from gan_transfer.state import GanState, copy

STATE, ABOUT = 'state', 'about'
STEP, SHAPES, FINGERPRINTS, DIGEST = 'step', 'shapes', 'fingerprints', 'digest'  # in the latter
NEWEST, BEST, ASIDE = 'checkpoints', 'best', 'aside'  # folders in the run's
REASON = 200  # characters of what Orbax says

T = TypeVar('T')


class DamagedCheckpoint(UserError):
    """A checkpoint that cannot be read, or not as it was written.

    `everywhere` is whether all processes of the run have seen it.
    """

    def __init__(self, text: str, *, everywhere: bool = True):
        """Args: the message; whether all processes have seen the damage."""
        super().__init__(text)
        self.everywhere = everywhere


class _Manager(ocp.CheckpointManager):
    """Orbax's, which does not ask whether to leave: `Interruption.agreed` does, and each question counts."""

    def reached_preemption(self, step: int) -> bool:
        return False


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
          UserError: where the folder cannot be made, or what is written there could not be read again.
          RunStopped: where the disk is full.
        """
        with from_user():
            self._path = storage.absolute(workdir) / folder
            storage.check_for_checkpoints(self._path)
        self._saving: int | None = None
        options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.LatestN(max(keep, 1)),
            cleanup_tmp_directories=keep > 0,
            create=False,
            # The newest and the best are written at one time: each waits for its own counterparts.
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                barrier_sync_key_prefix='_'.join(self._path.parts[-2:])
            ),
        )
        storage.forget_listings(self._path)
        with from_user(), storage.reached(self._path):
            if keep:
                self._path.mkdir(parents=True, exist_ok=True)
            there = keep > 0 or self._path.is_dir()
            self._manager = _Manager(self._path, options=options) if there else None

    def latest(self) -> int | None:
        """Returns the newest finished step, or None."""
        return self._manager.latest_step() if self._manager else None

    def save(self, step: int, state: GanState, about: dict[str, Any]) -> None:
        """Starts to save; writing goes on in the background. A step that is there already stays as it is.

        Later steps that are there, of a course that was left, are set aside: Orbax would not save.

        Args:
          step: the state's step.
          state: global arrays.
          about: what else to remember, as JSON.

        Raises:
          RunStopped: where this checkpoint or the one before cannot be written.
        """
        latest = self.latest()
        if step == latest:
            return
        self.wait()
        if latest is not None and latest > step:
            self.set_aside(step + 1)
        self._saving = step
        shapes = {name: list(x.shape) for name, x in named_leaves(state).items()}
        about = {**about, STEP: step, SHAPES: shapes, FINGERPRINTS: fingerprints(state)}
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(state), about=ocp.args.JsonSave({**about, DIGEST: _digest(about)})
        )
        with self._writing():
            self._manager.save(step, args=args)

    def restore(self, step: int, abstract_state: GanState, about: dict[str, Any] | None = None) -> GanState:
        """Returns the state of `step`, with the shapes, types and shardings of `abstract_state`.

        `about` is what `about` has returned for the step, where that was asked already.

        Raises:
          UserError: where the checkpoint has other networks or other shapes.
          DamagedCheckpoint: naming the first array that is not what was saved.
        """
        about = self.about(step) if about is None else about
        wanted = {name: list(x.shape) for name, x in named_leaves(abstract_state).items()}
        there = about.get(SHAPES, wanted)
        differing = [name for name in sorted(there | wanted) if there.get(name) != wanted.get(name)]
        if differing:
            name = differing[0]
            raise UserError(
                f'the checkpoint of step {step} has other networks or sizes than the config asks '
                f'for: {name} is {there.get(name, "missing")}, not {wanted.get(name, "there")} '
                f'({len(differing)} such arrays)'
            )
        args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract_state))
        # An array may be one process's to read.
        with self._reading(step, 'its arrays cannot be read', everywhere=jax.process_count() == 1):
            restored = self._manager.restore(step, args=args)[STATE]
        saved = about.get(FINGERPRINTS)
        if saved is not None:  # checkpoints were written without, once
            found = fingerprints(restored)
            wrong = [name for name in found if found[name] != saved[name]]
            if wrong:
                more = f', nor are {len(wrong) - 1} other arrays' if len(wrong) > 1 else ''
                raise self._damaged(step, f'{wrong[0]} is not what was saved{more}')
        # Restored arrays may share the checkpoint reader's memory; a step donates its state, so take copies.
        shardings = jax.tree.map(lambda x: x.sharding, abstract_state)
        return jax.jit(copy, out_shardings=shardings)(restored)

    def about(self, step: int) -> dict[str, Any]:
        """Returns what was remembered with `step`.

        Raises:
          DamagedCheckpoint: where it is not what was saved.
        """
        args = ocp.args.Composite(about=ocp.args.JsonRestore())
        with self._reading(step, f'its item {ABOUT!r} cannot be read'):
            about = dict(self._manager.restore(step, args=args)[ABOUT])
        digest = about.pop(DIGEST, None)
        if digest != _digest(about) and (digest is not None or FINGERPRINTS in about):
            raise self._damaged(step, f'its item {ABOUT!r} is not what was saved')
        if about.get(STEP, step) != step:  # checkpoints were written without, once
            raise self._damaged(step, f'it was saved as that of step {about[STEP]}')
        return about

    def newest(self, read: Callable[[int], T], on_damage: str) -> tuple[T, list[DamagedCheckpoint]]:
        """Reads the newest checkpoint, or the newest good one.

        Args:
          read: from a step, by `about` and `restore`, what the caller wants.
          on_damage: 'error', or 'fallback' to the checkpoint before a damaged one.

        Returns:
          what `read` returned, and what was found damaged.

        Raises:
          DamagedCheckpoint: for 'error', where one of several processes alone has met damage, and where no checkpoint
            is good.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                return read(step), damaged
            except DamagedCheckpoint as error:
                # Not seen everywhere: the other processes wait for this one to read that very checkpoint.
                if on_damage == 'error' or not error.everywhere:
                    alone = '' if error.everywhere else 'one process started alone with '
                    hint = f'{alone}--config.checkpoint.on_damage=fallback takes the newest good one'
                    raise DamagedCheckpoint(f'{error}; {hint}', everywhere=error.everywhere) from error
                damaged.append(error)
        raise DamagedCheckpoint(f'no checkpoint in {self._path} is good: {"; ".join(map(str, damaged))}')

    def set_aside(self, first: int) -> list[str]:
        """Moves the checkpoints from step `first` on to `WORKDIR/aside`, and returns their new places."""
        moved = []
        for step in sorted(step for step in self._manager.all_steps() if step >= first):
            place = self._path.parent / ASIDE / f'{self._path.name}_{step}'
            place = storage.numbered(place, storage.first_unused(place))
            if processes.is_first():
                with from_user():
                    storage.move(self._path / str(step), place)
            moved.append(str(place))
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices('checkpoints set aside')
        storage.forget_listings(self._path)
        self._manager.reload()
        return moved

    def wait(self) -> None:
        """Waits until what was saved is on disk.

        Raises:
          RunStopped: where it cannot be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def kept_at_an_error(self) -> Iterator[None]:
        """At an error inside the save under way ends first; not with several processes, which may be gone or wait."""
        try:
            yield
        except Exception:
            if jax.process_count() == 1:
                with contextlib.suppress(Exception):  # what ends the run is told, not what came of it
                    self.wait()
            raise

    def close(self) -> None:
        if self._manager:
            self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Names a failed write; TensorStore tells it by a ValueError that has the system's number in its text.

        Raises:
          RunStopped: in place of what Orbax raised.
        """
        try:
            yield
        except Exception as error:
            reason = self._why_not_written(error)
            if reason is None:
                raise
            there = self.latest()
            left = 'there is no other yet; the same command begins anew'
            if there is not None:
                left = f'the one of step {there} stays; the same command goes on from it'
            raise RunStopped(
                f'the checkpoint of step {self._saving} cannot be written to {self._path}: {reason}; {left}'
            ) from error

    def _why_not_written(self, error: Exception) -> str | None:
        """Returns the reason, or None for a fault of the program."""
        if storage.is_remote(self._path):
            reason = storage.why_unreachable(error)
            return reason and reason[:REASON]
        if not isinstance(error, OSError | ValueError):
            return None
        number = storage.system_error(error)
        return None if number is None else os.strerror(number)

    @contextlib.contextmanager
    def _reading(self, step: int, what: str, *, everywhere: bool = True) -> Iterator[None]:
        """Everything that Orbax raises, of whatever type, means that its files are not as it wrote them.

        Unless they are in an object store that cannot be reached, or it is for want of memory, of rights, or of open
        files: then nothing is known of them.
        """
        try:
            yield
        except Exception as error:
            unreachable = (
                storage.why_unreachable(error)
                if storage.is_remote(self._path)
                else storage.why_not_now(error)
            )
            if unreachable:
                raise UserError(
                    f'the checkpoint of step {step} cannot be read now: {unreachable[:REASON]} ({self._path})'
                ) from error
            reason = storage.first_line(error)
            raise self._damaged(step, f'{what} ({reason[:REASON]})', everywhere=everywhere) from error

    def _damaged(self, step: int, what: str, *, everywhere: bool = True) -> DamagedCheckpoint:
        kind = 'best checkpoint' if self._path.name == BEST else 'checkpoint'
        text = f'the {kind} of step {step} is damaged: {what} ({self._path / str(step)})'
        return DamagedCheckpoint(text, everywhere=everywhere)


def _digest(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
