"""Leaving a training in good order when it is asked to: Ctrl-C, or a scheduler's SIGTERM."""

import signal
from typing import Any

import jax


class Interruption:
    """In a `with`: the first SIGINT or SIGTERM is noted in `signal`, the second one ends the process at once.

    At once: also in the middle of a compilation or of a save, where no Python runs. A checkpoint is whole or not there.

    With several processes SIGTERM is left to JAX, which agrees with the others on a step to stop at
    (`Checkpoints.preempted`).
    """

    def __init__(self) -> None:
        """Starts with no signal noted."""
        self.signal: int | None = None
        self._signals = (signal.SIGINT,) if jax.process_count() > 1 else (signal.SIGINT, signal.SIGTERM)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> 'Interruption':
        self._before = {number: signal.signal(number, self._note) for number in self._signals}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: Any) -> None:
        self.signal = number
        for other in self._signals:
            signal.signal(other, signal.SIG_DFL)
