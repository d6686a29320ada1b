"""The config saved with a run, `WORKDIR/config.json`: written once, compared, read again."""

import json
import os
from typing import Any

from ml_collections import ConfigDict

from gan_transfer import storage
from gan_transfer.errors import UserError, from_user, stops_run

NAME, CHANGES = 'config.json', 'config_changes.jsonl'
NEVER = ('batch_size:', 'method.name:')  # no checkpoint could be gone on from
# What changes no weights, but the log of a run, which is the same to the bit however often it was stopped.
NO_WEIGHTS = ('log_every_images:', 'sample_', 'checkpoint_every_images:', 'keep_checkpoints:')
# What a run's steps do not depend on, but for what happens after a fault: may change.
NO_TRAINING = (
    *('evaluate_', 'evaluation.', 'mesh.', 'checkpoint.', 'on_divergence', 'max_rollbacks'),
    *('data.threads', 'data.prefetch', 'data.cache'),
)
# In the config files these follow from `train_images`; in the config of a run they are numbers.
DERIVED = ('optimizer.decay_start_images', 'method.diversity_images')


def cache_folder(config: ConfigDict) -> str:
    """Returns where prepared data and compiled programs are: data.cache, $GAN_TRANSFER_CACHE, ~/.cache/gan_transfer."""
    folder = config.data.cache or os.environ.get('GAN_TRANSFER_CACHE') or '~/.cache/gan_transfer'
    if '://' in folder:
        raise UserError(f'the cache is {folder} (data.cache, $GAN_TRANSFER_CACHE); it must be a folder')
    return os.path.abspath(os.path.expanduser(folder))


def load(workdir: str) -> ConfigDict:
    """Reads the config of a run.

    Raises:
      UserError: where there is no run, or its config is damaged.
    """
    saved = read(workdir)
    if saved is None:
        raise UserError(
            f'no run in {workdir!r}: it has no {NAME}; --mode=train with --config=FILE starts one'
        )
    return ConfigDict(_tuples(saved)).lock()


def complete(workdir: str, saved: ConfigDict, defaults: ConfigDict) -> ConfigDict:
    """Lays `saved`, the config of a run, over `defaults`: the run may be older than some keys.

    Raises:
      UserError: where a value is of another type now, or the method has a key no more.
    """
    path = storage.place(workdir, NAME)
    gone = sorted(set(saved.method) - set(defaults.method))
    if gone:
        raise UserError(
            f'{path} is of another version of this code: {saved.method.name} has no {", ".join(gone)} now; take that '
            'version, or the key out of the file where its value changed nothing'
        )
    try:
        with defaults.unlocked():
            defaults.update(saved)
    except (TypeError, ValueError) as error:
        raise UserError(f'{path} does not fit this version: {error}') from error
    return defaults.lock()


def save(workdir: str, config: ConfigDict) -> None:
    """Writes the config of a run.

    Raises:
      UserError: where there is no such bucket of an object store.
      RunStopped: where it cannot be written for another reason.
    """
    path = storage.place(workdir, NAME)
    with stops_run(path):
        try:
            storage.write(path, to_json(config).encode())
        except FileNotFoundError as error:
            raise UserError(str(error)) from error


def note_changes(workdir: str, changes: list[str], images: int) -> None:
    """Adds to `WORKDIR/config_changes.jsonl` what a run goes on with that it was not started with, and from where.

    Args:
      workdir: the run's folder.
      changes: of `check_unchanged` and of the data; where there are none, or the last line tells the same, nothing is
        written.
      images: that the run has seen.

    Raises:
      RunStopped: where it cannot be written.
    """
    path = storage.place(workdir, CHANGES)
    if changes:
        with stops_run(path):
            before = storage.read(path) if storage.exists(path) else b''
            line = (json.dumps({'images': images, 'changes': changes}) + '\n').encode()
            # Changes of the data are seen at every start until there is a checkpoint behind them.
            if before.splitlines(keepends=True)[-1:] != [line]:
                storage.write(path, before + line)


def to_json(config: ConfigDict) -> str:
    return json.dumps(_plain(config), indent=2, sort_keys=True) + '\n'


def check_unchanged(
    workdir: str, config: ConfigDict, *, allow_change: bool, defaults: ConfigDict | None = None
) -> list[str]:
    """Compares `config` with the one that the run in `workdir` was started with, if there is one.

    Args:
      workdir: the run's folder.
      config: what is asked for now.
      allow_change: return differences in place of refusing them.
      defaults: what stands for keys that the run is older than.

    Returns:
      the differences, `key: old -> new`.

    Raises:
      UserError: with the differences, unless `allow_change`; where the saved config is damaged.
    """
    saved = read(workdir)
    if saved is None:
        return []
    old = _flat(saved) if defaults is None else flat_over(defaults, saved)
    new, missing = flat(config), object()
    stays = [
        f'{key} stays {new[key]}'
        for key in DERIVED
        if old.get(key) == new.get(key) and 0 < (new.get(key) or 0) <= old.get('train_images', 0)
    ]
    lines = [
        f'{key}: {_show(old, key)} -> {_show(new, key)}'
        + (f' ({", ".join(stays)})' if key == 'train_images' and stays else '')
        for key in sorted(old.keys() | new.keys())
        if old.get(key, missing) != new.get(key, missing) and not key.startswith(NO_TRAINING)
    ]
    if lines and not allow_change:
        never = any(line.startswith(NEVER) for line in lines)
        raise UserError(
            f'the run in {workdir} was started with another config ({"; ".join(lines)}); take another --workdir'
            + (
                ', for a run cannot change that'
                if never
                else ', or go on all the same with --allow_config_change'
            )
        )
    return lines


def read(workdir: str) -> dict[str, Any] | None:
    """Returns what is saved with a run, or None where there is nothing.

    Raises:
      UserError: where that is damaged.
    """
    with from_user():
        path = storage.place(workdir, NAME)
        if not storage.exists(path):
            return None
        text = storage.read(path)
    try:
        saved = json.loads(text)
        if isinstance(saved, dict) and 'name' in saved['method']:
            return saved
        reason = 'no config'
    except (ValueError, KeyError, TypeError) as error:
        reason = str(error)
    raise UserError(
        f'{path} is damaged ({reason}); remove it: the command that started the run, with its --config, then goes on'
    )


def flat(config: ConfigDict) -> dict[str, Any]:
    """Returns `KEY.KEY` -> value, as JSON has it."""
    return _flat(_plain(config))


def flat_over(defaults: ConfigDict, saved: dict[str, Any]) -> dict[str, Any]:
    """Returns what is saved with a run as `flat` does, with the defaults of keys that the run is older than."""
    return _flat(_over(_plain(defaults), saved))


def _plain(config: ConfigDict) -> Any:
    return json.loads(config.to_json())


def _over(base: Any, tree: Any) -> Any:
    """Lays a tree over another: what only `base` has comes through."""
    if not isinstance(base, dict) or not isinstance(tree, dict):
        return tree
    return {**base, **{key: _over(base.get(key), value) for key, value in tree.items()}}


def _flat(tree: Any, prefix: str = '') -> dict[str, Any]:
    if not isinstance(tree, dict) or (prefix and not tree):
        return {prefix: tree}
    parts = [_flat(value, f'{prefix}.{key}' if prefix else key) for key, value in tree.items()]
    return {key: value for part in parts for key, value in part.items()}


def _show(values: dict[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else 'none'


def _tuples(tree: Any) -> Any:
    """Lists as tuples: JSON has no tuples, and a ConfigDict takes no override of a list."""
    if isinstance(tree, dict):
        return {key: _tuples(value) for key, value in tree.items()}
    return tuple(map(_tuples, tree)) if isinstance(tree, list) else tree
