"""Errors that are answered with one line instead of a traceback."""

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
    """A mistake in what the user asked for: a config value, a flag, a missing file."""


class RunStopped(RuntimeError):
    """A training that cannot go on, for a reason that the message tells: a number that is not finite."""


@contextlib.contextmanager
def from_user() -> Iterator[None]:
    """Marks what is raised inside as the user's mistake: use it around checks and the opening of files only.

    Raises:
      UserError: in place of ValueError and OSError, with their text.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        name = f': {error.filename}' if error.filename else ''
        raise UserError(f'{error.strerror or error}{name}') from error
    except ValueError as error:
        raise UserError(str(error)) from error
