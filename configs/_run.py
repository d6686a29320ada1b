"""The config saved with a run: what `--config.KEY=VALUE` without `--config` changes."""

from configs import common
from gan_transfer import run_config


def get_config(workdir):
    """Returns the config of the run in a folder, with the defaults of keys that it is older than.

    Raises:
      UserError: where there is no run, or its config is damaged.
    """
    saved = run_config.load(workdir)
    return run_config.complete(workdir, saved, get_defaults(saved.method.name))


def get_defaults(method):
    """Returns all keys with their defaults, those of a method among them."""
    defaults = common.get_config()
    defaults.method = common.method(method)
    return defaults
