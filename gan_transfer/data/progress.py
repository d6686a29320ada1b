"""A progress bar for what is done before training."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich import console, progress

Item = TypeVar('Item')


def track(items: Iterable[Item], text: str, total: int | None = None) -> Iterator[Item]:
    """Yields `items` and shows how many are done on stderr, if that is a terminal.

    Args:
      total: number of items, where `items` has no length.
    """
    terminal = console.Console(stderr=True)
    if total is None and isinstance(items, Sequence):
        total = len(items)
    yield from progress.track(
        items, text, total=total, console=terminal, disable=not terminal.is_terminal, transient=True
    )
