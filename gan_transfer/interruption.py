"""Leaving a training in good order when it is asked to: Ctrl-C, or a scheduler's SIGTERM."""

import contextlib
import ctypes
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b'\x1b[?25h'  # which a progress bar has hidden


class Interruption:
    """In a `with`: the first SIGINT or SIGTERM is noted in `signal`, the second one ends the process at once.

    At once: also in the middle of a compilation or of a save, where a Python handler would wait for its turn, so that a
    thread listens. The exit status is 128 + the signal's number. A checkpoint is whole or not there.

    A signal that is ignored stays so: shells start what they leave behind with Ctrl-C ignored.

    With several processes the first one is passed on to JAX, and `agreed` is true for all of them at one moment.
    """

    def __init__(self) -> None:
        """Starts with no signal noted."""
        self.signal: int | None = None
        self._asked, self._agreed = 0, False
        self._pass_on: Callable[[int], None] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> 'Interruption':
        self._receiving, self._sending = socket.socketpair()
        self._sending.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._sending.fileno(), warn_on_full_buffer=False)
        if jax.process_count() > 1:
            self._pass_on = _handler_in_c()
        # Without a handler of Python's nothing would be sent.
        noted = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, lambda *_: None) for number in noted}
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pass_on:  # until the other processes have ended too
            _exchange(self._pass_on)
        signal.set_wakeup_fd(self._wakeup_before)
        self._sending.close()  # which ends the listener
        self._listener.join()
        self._receiving.close()

    def agreed(self) -> bool:
        """Returns whether to leave now; of several processes all must ask the same number of times."""
        if jax.process_count() == 1:
            return self.signal is not None
        self._asked += 1
        # JAX says it once; a rollback may come in between.
        self._agreed = multihost_utils.reached_preemption_sync_point(self._asked) or self._agreed
        return self._agreed

    def _listen(self) -> None:
        while received := self._receiving.recv(1):
            number = received[0]
            if number in SIGNALS:
                if self.signal is not None:
                    with contextlib.suppress(OSError):
                        if os.isatty(1):
                            os.write(1, _SHOW_CURSOR)
                    os._exit(128 + number)
                self.signal = number
                if self._pass_on:
                    self._pass_on(signal.SIGTERM)


_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


def _handler_in_c() -> Callable[[int], None] | None:
    """Returns the handler of SIGTERM that `jax.distributed` has set in C, where Python does not see it.

    None where JAX's preemption service is off.
    """
    handler = _exchange(_Handler())  # SIG_DFL
    _exchange(handler)
    return handler if handler and ctypes.cast(handler, ctypes.c_void_p).value != signal.SIG_IGN else None


def _exchange(handler: Callable[[int], None]) -> Callable[[int], None]:
    """Sets the handler of SIGTERM in C, and returns the one before."""
    exchange = ctypes.CDLL(None).signal
    exchange.argtypes, exchange.restype = (ctypes.c_int, _Handler), _Handler
    return exchange(signal.SIGTERM, handler)
