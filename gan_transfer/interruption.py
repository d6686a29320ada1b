"""Leaving a training in good order when it is asked to: Ctrl-C, or a scheduler's SIGTERM."""

import os
import signal
import socket
import threading
from typing import Any

import jax


class Interruption:
    """In a `with`: the first SIGINT or SIGTERM is noted in `signal`, the second one ends the process at once.

    At once: also in the middle of a compilation or of a save, where a Python handler would wait for its turn, so that a
    thread listens. The exit status is 128 + the signal's number. A checkpoint is whole or not there.

    With several processes SIGTERM is left to JAX, which agrees with the others on a step to stop at
    (`Checkpoints.preempted`), and the first SIGINT is passed on as one.
    """

    def __init__(self) -> None:
        """Starts with no signal noted."""
        self.signal: int | None = None
        self._signals = (signal.SIGINT,) if jax.process_count() > 1 else (signal.SIGINT, signal.SIGTERM)
        self._before: dict[int, Any] = {}

    def __enter__(self) -> 'Interruption':
        self._receiving, self._sending = socket.socketpair()
        self._sending.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._sending.fileno(), warn_on_full_buffer=False)
        # Without a handler of Python's nothing would be sent.
        self._before = {number: signal.signal(number, lambda *_: None) for number in self._signals}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._sending.close()  # which ends the listener
        self._listener.join()
        self._receiving.close()

    def _listen(self) -> None:
        while received := self._receiving.recv(1):
            number = received[0]
            if number in self._signals:
                if self.signal is not None:
                    os._exit(128 + number)
                self.signal = number
                if signal.SIGTERM not in self._signals:
                    os.kill(os.getpid(), signal.SIGTERM)
