"""Progress of what is done before training."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich import console, progress

Item = TypeVar('Item')
SECONDS = 30.0  # between two lines, where there is no terminal


def track(items: Iterable[Item], text: str, total: int | None = None) -> Iterator[Item]:
    """Yields `items` and shows how many are done on stderr: a bar, or now and then a line where that is no terminal.

    Args:
      items: whatever is worked through.
      text: what is done to them.
      total: number of items, where `items` has no length.
    """
    terminal = console.Console(stderr=True)
    if total is None and isinstance(items, Sequence):
        total = len(items)
    if terminal.is_terminal:
        yield from progress.track(items, text, total=total, console=terminal, transient=True)
        return
    told = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - told > SECONDS:
            print(f'{text}: {done}{f" of {total}" if total else ""}', file=sys.stderr, flush=True)
            told = time.monotonic()
        yield item
