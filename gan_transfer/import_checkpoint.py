"""Starts a run from weights that are there: a published PyTorch checkpoint, or another run's.

What it writes is a config and a checkpoint of step 0, for every other mode.
"""

import contextlib
import dataclasses
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax

from gan_transfer import data, run_config, sharding, storage
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.errors import UserError, from_user
from gan_transfer.experiment import Experiment, make_experiment
from gan_transfer.importers import layout
from gan_transfer.importers.files import FAMILIES, read_networks
from gan_transfer.methods.contract import Network
from gan_transfer.state import GanState, Params
from gan_transfer.terminal import make_console


def import_checkpoint(config: Any, workdir: str, family: str, checkpoint: str) -> None:
    """Writes `workdir` from the files of `checkpoint`, and prints what was taken, left out, and found missing.

    The weights decide the architecture; everything else, such as data and learning rates, is the config's.

    Args:
      config: of the method that `family` is; its hyper-parameters of architecture are overwritten.
      workdir: the run's folder; must not hold a run.
      family: whose layout it is, of `importers.files.FAMILIES`.
      checkpoint: a file or a folder; see `importers.files.read_networks`.

    Raises:
      UserError: for files that cannot be read or do not fit, and where there is a run.
    """
    _check_free(workdir)
    if config.method.name != family:
        raise UserError(f'--from={family} is not the method of --config, {config.method.name}')
    with from_user():
        weights, notes = read_networks(checkpoint, family)
        domains, changes = _configure(config, family, weights)
        experiment = _make_experiment(config, domains)
        params = _params(experiment, family, weights)
    if changes:
        notes = [*notes, f'as the weights have it: {", ".join(changes)}']
    unused = sorted(set(weights) - set(params))
    if unused:
        notes = [*notes, f'ignored, as the config has no such network: {", ".join(unused)}']
    if family == 'stargan_v2':
        numbers = ', '.join(f'{i} {name}' for i, name in enumerate(domains))
        other = (
            ''
            if list(domains) == sorted(domains)
            else ', which these are not: are they those of the weights?'
        )
        notes = [*notes, f'domains: {numbers}; the original numbers its folders in alphabetical order{other}']
    _write(config, workdir, experiment, domains, Weights(params, params), f'{family} in {checkpoint}', notes)


def import_run(config: Any, workdir: str, source: str, source_config: Any) -> None:
    """Writes `workdir` with the weights of the newest checkpoint of the run in `source`, to go on with on other data.

    Networks whose parameters have other shapes in `config` start with first weights; optimizers, the image pool and the
    count of images start anew. An option that changes what a network computes and none of its shapes is printed.

    Args:
      config: of the new run; its data tell the domains.
      workdir: the new run's folder; must not hold a run.
      source: the other run's folder.
      source_config: its config.

    Raises:
      UserError: where there is no checkpoint, no network fits, or there is a run in `workdir`.
    """
    _check_free(workdir)
    checkpoints = Checkpoints(source)

    def read(step: int) -> tuple[GanState, dict[str, Any], dict[str, Network], int]:
        about = checkpoints.about(step)
        with from_user():
            there = _make_experiment(source_config, tuple(about['domains']))
        return checkpoints.restore(step, there.abstract_state, about), about, there.networks, step

    with contextlib.closing(checkpoints):
        if checkpoints.latest() is None:
            raise UserError(f'the run in {source!r} has no checkpoint yet')
        (state, about, networks, step), damaged = checkpoints.newest(read, config.checkpoint.on_damage)
    with from_user():
        domains = tuple(config.data.domains) or data.open_dataset(config).domains
        experiment = _make_experiment(config, domains)
    wanted = {name: _shapes(tree) for name, tree in experiment.abstract_state.params.items()}
    # A run that was imported itself and not trained yet has first weights where the files had none.
    learnt = about.get('imported', {}).get('networks', list(state.params))
    fitting = [name for name in learnt if wanted.get(name) == _shapes(state.params[name])]
    if not fitting:
        raise UserError(f'no network of the run in {source!r} has a place in the config: {", ".join(wanted)}')
    params = {name: state.params[name] for name in fitting}
    weights = Weights(
        params, params | {name: state.average[name] for name in fitting if name in state.average}
    )
    origin = f'{source} after {step * source_config.batch_size} images'
    changes = [
        f'{name}, with the weights that it had: {change}'
        for name in fitting
        for change in _changes(networks[name], experiment.networks[name])
    ]
    _write(config, workdir, experiment, domains, weights, origin, [*map(str, damaged), origin, *changes])


class Weights(NamedTuple):
    """Parameters by network, and what their averages start from."""

    params: dict[str, Params]
    average: dict[str, Params]


def _check_free(workdir: str) -> None:
    with from_user():
        there = storage.exists(storage.place(workdir, run_config.NAME))
    if there:
        raise UserError(f'{workdir} holds a run already; take another --workdir')


def _make_experiment(config: Any, domains: tuple[str, ...]) -> Experiment:
    mesh = sharding.make_mesh(jax.local_devices()[:1])
    return make_experiment(config, domains=len(domains), mesh=mesh)


def _changes(before: Network, now: Network) -> list[str]:
    """Returns the options by which two networks of the same parameters are different functions."""
    # Of the same shapes by another cap on widths is the same network.
    other = ('parent', 'name', 'initializer', 'dtype', 'rematerialize', 'max_width')
    names = [field.name for field in dataclasses.fields(now.module) if field.name not in other]
    values = [(name, getattr(before.module, name), getattr(now.module, name)) for name in names]
    return [f'{name} {old} -> {new}' for name, old, new in values if old != new]


def _shapes(tree: Params) -> Any:
    return jax.tree.map(lambda x: x.shape, tree)


def _write(
    config: Any,
    workdir: str,
    experiment: Experiment,
    domains: tuple[str, ...],
    weights: Weights,
    origin: str,
    notes: Sequence[str],
) -> None:
    """Writes the run, and prints `notes`; `origin`, where its weights are from, tells it from other runs."""
    console = make_console()
    state = experiment.init(config.seed)
    fresh = [
        name
        for name in state.params
        if name not in weights.params and not experiment.networks[name].pretrained
    ]
    about = {
        'images': 0,
        'seconds': 0.0,
        'domains': list(domains),
        'directions': _directions(experiment, len(domains), fresh),
        'imported': {'from': origin, 'networks': sorted(weights.params)},
    }
    checkpoints = Checkpoints(workdir, keep=config.keep_checkpoints)
    checkpoints.set_aside(0)  # what an import has left that was interrupted
    checkpoints.save(0, _with_params(experiment, state, weights), about)
    checkpoints.wait()
    checkpoints.close()
    # No seed of runs that began by first weights.
    run_config.note_changes(workdir, [f'weights: first ones -> {origin}'], 0)
    run_config.save(workdir, config)  # last: it makes the folder a run, which must not begin by first weights
    for line in notes:
        console.print(line)
    if fresh:
        console.print(f'not there, so with first weights: {", ".join(fresh)}')
    console.print(f'imported {", ".join(sorted(weights.params))} at {config.image_size} px into {workdir}')


def _configure(
    config: Any, family: str, weights: dict[str, layout.StateDict]
) -> tuple[tuple[str, ...], list[str]]:
    """Writes what the weights say into the config, and returns the names of the domains and what has changed."""
    options = FAMILIES[family].options(weights)
    count = options.pop('domains', 2)
    config.image_size = options.pop('image_size', config.image_size)
    if 'generator_depth' in options and config.image_size % 2 ** options['generator_depth']:
        config.image_size = 2 ** options['generator_depth']
    changes = [
        f'{key} {config.method[key]} -> {value}'
        for key, value in options.items()
        if config.method[key] != value
    ]
    config.method.update(options)
    names = _domains(config, count)
    if len(names) != count:
        raise UserError(f'the domains are {", ".join(names)}; the weights are of {count}: see data.domains')
    config.data.domains = names
    return names, changes


def _domains(config: Any, count: int) -> tuple[str, ...]:
    """Returns the domains that the config names, else those of the data that it names, else letters."""
    if config.data.domains:
        return tuple(config.data.domains)
    if config.data.path or config.data.source.startswith('tfds:'):
        return data.open_dataset(config).domains
    return tuple(string.ascii_uppercase[:count])


def _params(experiment: Experiment, family: str, weights: dict[str, layout.StateDict]) -> dict[str, Params]:
    """Returns the parameters of those networks that the config has."""
    expected, params = experiment.abstract_state.params, {}
    for name, state_dict in weights.items():
        if name not in expected:
            continue
        try:
            params[name] = layout.load(FAMILIES[family].ENTRIES[name](state_dict), state_dict, expected[name])
        except ValueError as error:
            raise UserError(f'{name}: {error}') from error
    return params


def _directions(experiment: Experiment, domains: int, fresh: list[str]) -> list[list[int]]:
    """Returns the pairs of domains that the weights translate between."""
    method = experiment.method
    return [
        [source, target]
        for source, target in method.directions(domains)
        if not set(method.translating(source, target)) & set(fresh)
    ]


def _with_params(experiment: Experiment, state: GanState, weights: Weights) -> GanState:
    """Returns the state with the imported parameters and averages."""
    sides = {
        side: getattr(state, side).replace(
            params={**getattr(state, side).params, **_part(state, side, weights.params)}
        )
        for side in ('generator', 'discriminator')
    }
    average = {name: weights.average.get(name, old) for name, old in state.average.items()}
    state = state.replace(**sides, average=average)
    return jax.device_put(state, jax.tree.map(lambda x: x.sharding, experiment.abstract_state))


def _part(state: GanState, side: str, params: dict[str, Params]) -> dict[str, Params]:
    return {name: params[name] for name in getattr(state, side).params if name in params}
