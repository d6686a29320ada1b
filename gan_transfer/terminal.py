"""How the package talks on the terminal: plain text, as it is."""

from typing import Any

import rich.console


def make_console(**options: Any) -> rich.console.Console:
    """Returns a console that breaks no line and takes nothing in a text for a command.

    A file may be called `[/b].png` or `:cat:.png`, which rich would read as markup and as a picture.
    """
    return rich.console.Console(soft_wrap=True, highlight=False, markup=False, emoji=False, **options)
