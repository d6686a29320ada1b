"""Turns a published PyTorch checkpoint into a run: a config and a checkpoint of step 0, for every other mode."""

import string
from typing import Any

import jax

from gan_transfer import run_config, sharding, storage
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.errors import UserError, from_user
from gan_transfer.experiment import Experiment, make_experiment
from gan_transfer.importers import layout
from gan_transfer.importers.files import FAMILIES, read_networks
from gan_transfer.state import GanState, Params, copy
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
    with from_user():
        there = storage.exists(storage.place(workdir, run_config.NAME))
    if there:
        raise UserError(f'{workdir} holds a run already; take another --workdir')
    if config.method.name != family:
        raise UserError(f'--from={family} is not the method of --config, {config.method.name}')
    console = make_console()
    with from_user():
        weights, notes = read_networks(checkpoint, family)
        domains = _configure(config, family, weights)
        mesh = sharding.make_mesh(jax.local_devices()[:1])
        experiment = make_experiment(config, domains=len(domains), mesh=mesh)
        params = _params(experiment, family, weights)
    state = experiment.init(config.seed)
    fresh = [name for name in state.params if name not in params]
    about = {
        'images': 0,
        'seconds': 0.0,
        'domains': list(domains),
        'directions': _directions(experiment, len(domains), fresh),
        'imported': {'from': family, 'networks': sorted(params)},
    }
    checkpoints = Checkpoints(workdir, keep=config.keep_checkpoints)
    checkpoints.set_aside(0)  # what an import has left that was interrupted
    checkpoints.save(0, _with_params(experiment, state, params), about)
    checkpoints.wait()
    checkpoints.close()
    run_config.save(workdir, config)  # last: it makes the folder a run, which must not begin by first weights
    for line in notes:
        console.print(line)
    if fresh:
        console.print(f'not in the files, so with first weights: {", ".join(fresh)}')
    console.print(f'imported {", ".join(sorted(params))} at {config.image_size} px into {workdir}')
    if family == 'stargan_v2':
        console.print(f'domains, alphabetical as the original sorts its folders: {", ".join(domains)}')


def _configure(config: Any, family: str, weights: dict[str, layout.StateDict]) -> tuple[str, ...]:
    """Writes what the weights say into the config, and returns the names of the domains."""
    options = FAMILIES[family].options(weights)
    count = options.pop('domains', 2)
    config.image_size = options.pop('image_size', config.image_size)
    if 'generator_depth' in options and config.image_size % 2 ** options['generator_depth']:
        config.image_size = 2 ** options['generator_depth']
    config.method.update(options)
    names = tuple(config.data.domains) or tuple(string.ascii_uppercase[:count])
    if len(names) != count:
        raise UserError(f'data.domains names {", ".join(names)}; the weights are of {count} domains')
    config.data.domains = names
    return names


def _params(experiment: Experiment, family: str, weights: dict[str, layout.StateDict]) -> dict[str, Params]:
    expected, params = experiment.abstract_state.params, {}
    for name, state_dict in weights.items():
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


def _with_params(experiment: Experiment, state: GanState, params: dict[str, Params]) -> GanState:
    """Returns the state with the imported parameters, in the averages too."""
    sides = {
        side: getattr(state, side).replace(
            params={**getattr(state, side).params, **_part(state, side, params)}
        )
        for side in ('generator', 'discriminator')
    }
    average = {name: copy(params.get(name, old)) for name, old in state.average.items()}
    state = state.replace(**sides, average=average)
    return jax.device_put(state, jax.tree.map(lambda x: x.sharding, experiment.abstract_state))


def _part(state: GanState, side: str, params: dict[str, Params]) -> dict[str, Params]:
    return {name: params[name] for name in getattr(state, side).params if name in params}
