"""The text after the colon of `--config=FILE:ARGUMENTS`, and how an error names choices."""

import difflib
import types
from typing import Any

from gan_transfer.errors import UserError


def parse(argument: str = '', **defaults: Any) -> types.SimpleNamespace:
    """Reads the text after the colon of `--config=FILE:size=128,tiny`, with the types of the defaults.

    Args:
      argument: `key=value` or, for a bool, just `key`, separated by commas.
      **defaults: every key with its default: bool, int, float or str.

    Raises:
      ValueError: for an unknown key or a value of another type.
    """
    values = dict(defaults)
    for item in filter(None, (part.strip() for part in argument.split(','))):
        key, equals, text = item.partition('=')
        if key not in defaults:
            raise UserError(f'unknown config argument {key!r}{choices(key, defaults)}')
        values[key] = _read(key, text if equals else None, type(defaults[key]))
    return types.SimpleNamespace(**values)


def _read(key: str, text: str | None, kind: type) -> Any:
    if kind is bool:
        truths = {None: True, 'true': True, 'false': False, '1': True, '0': False}
        given = text and text.lower()  # as Python writes them too
        if given not in truths:
            raise UserError(f'config argument {key}={text!r} is neither true nor false')
        return truths[given]
    if text is None:
        raise UserError(f'config argument {key!r} needs a value: {key}=...')
    try:
        return kind(text)
    except ValueError:
        raise UserError(f'config argument {key}={text!r} is no {kind.__name__}') from None


def choices(name: str, known: Any) -> str:
    """The end of an error about a name: what is near, and what there is."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return (f'; did you mean {near[0]!r}?' if near else ';') + f' choices: {", ".join(known)}'
