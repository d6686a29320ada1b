"""Compares the evaluated runs in a folder: a row for each config, mean and spread over its seeds.

For ablations: every run's `evaluation.json` and `config.json` are read; runs whose configs differ in the seed alone and
that have seen as many images are one row, which is named by what is not the same in all runs of its method. Final
checkpoints only: the best of a training, chosen on the test images, is not compared.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gan_transfer import run_config, storage
from gan_transfer.errors import UserError, from_user
from gan_transfer.evaluation.tables import print_comparison

NAME, EVALUATED = 'comparison.json', 'evaluation.json'
Direction = tuple[str, str]
Defaults = Callable[[str], Any]


class Run(NamedTuple):
    """An evaluated run.

    Attributes:
      workdir: its folder, seen from that of all runs.
      seed: of the config.
      config: key -> value of all other keys that a training depends on, and `images_seen` where it was left early.
      images: that the evaluated checkpoint has seen.
      protocols: name -> results, as in `evaluation.json`.
      tested: domain -> what tells its test images from others; {} in results that are older than that.
    """

    workdir: str
    seed: int
    config: dict[str, Any]
    images: int
    protocols: dict[str, Any]
    tested: dict[str, str]


def compare(workdir: str, defaults: Defaults) -> list[dict[str, Any]]:
    """Compares all evaluated runs in a folder and its folders; writes `comparison.json` there, prints, returns it.

    `defaults` gives the config of a method by its name, for the keys that a run is older than.

    Raises:
      UserError: where there is no evaluated run, or a file of one is damaged.
    """
    runs, waiting = _read(workdir, defaults)
    if not runs:
        raise UserError(
            f'no evaluated run in {workdir!r}: --mode=evaluate writes {EVALUATED} into that of a run'
        )
    rows = summarize(runs)
    print_comparison(rows, NAME)
    for line in _different_images(runs):
        print(line)
    if waiting:
        print(f'not evaluated: {", ".join(waiting)}')
    early = [run.workdir for run in runs if run.config.get('images_seen')]  # none seen: imported, not left
    if early:
        print(f'evaluated before their end: {", ".join(early)}')
    with from_user():
        path = storage.place(workdir, NAME)
        storage.write(path, json.dumps(rows, indent=2).encode() + b'\n')
    print(path)
    return rows


def summarize(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Returns a row for each config, in the order of the first run that has it.

    A row has `method`, `config` (what differs between the method's rows), `runs`, and `protocols`: name -> for each
    direction `source`, `target`, `seeds`, and for each measure `values` of the runs, their `mean`, `deviation`
    (standard deviation of a sample; None for one run), `untouched_source`, and, where sources have several outputs, the
    mean of `one_output`.

    Raises:
      UserError: where runs of one config were evaluated on different test images.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.config, sort_keys=True), []).append(run)
    different = {
        method: _different([run.config for run in runs if run.config['method.name'] == method])
        for method in {run.config['method.name'] for run in runs}
    }
    rows = []
    for group in groups.values():
        config, method = group[0].config, group[0].config['method.name']
        rows.append(
            {
                'method': method,
                'config': {key: config[key] for key in different[method] if key in config},
                'runs': [{'workdir': run.workdir, 'seed': run.seed, 'images': run.images} for run in group],
                'protocols': {
                    name: _directions([run for run in group if name in run.protocols], name)
                    for name in dict.fromkeys(name for run in group for name in run.protocols)
                },
            }
        )
    return rows


def _read(workdir: str, defaults: Defaults) -> tuple[list[Run], list[str]]:
    """Returns the evaluated runs by their folders, and the folders of runs that are not evaluated."""
    with from_user():
        root = storage.absolute(workdir)
        files = storage.files_in(root)
    folders = {file.parent: set() for file in files if file.name in (run_config.NAME, EVALUATED)}
    for file in files:
        if file.parent in folders:
            folders[file.parent].add(file.name)
    runs, waiting = [], []
    for folder in sorted(folders):
        within = any(run_config.NAME in folders.get(parent, ()) for parent in folder.parents)
        if within or run_config.NAME not in folders[folder]:
            continue  # what a diverged run has kept; two folders of images, compared
        name = str(folder.relative_to(root))
        if EVALUATED in folders[folder]:
            runs.append(_read_run(folder, name, defaults))
        else:
            waiting.append(name)
    return runs, waiting


def _read_run(folder: storage.Path, name: str, defaults: Defaults) -> Run:
    saved = run_config.read(str(folder))
    config = run_config.flat_over(defaults(saved['method']['name']), saved)
    path = folder / EVALUATED
    with from_user():
        text = storage.read(path)
    try:
        found = json.loads(text)
        images, protocols = found['checkpoint']['images'], found['protocols']
        tested = found.get('data', {}).get('test_images', {})
        for result in protocols.values():
            for row in result['directions']:  # sees that all is there
                _about_row(row, tested), row['translated'].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{path} is damaged ({error}); --mode=evaluate writes it anew') from error
    apart = ('seed:', *run_config.NO_TRAINING, *run_config.NO_WEIGHTS)
    trained = {key: value for key, value in config.items() if not f'{key}:'.startswith(apart)}
    trained |= _changes(folder)
    # A run that was left early, or not evaluated since it went on, is no seed of those at their end.
    if images < trained['train_images']:
        trained['images_seen'] = images
    return Run(name, config['seed'], trained, images, protocols, tested)


def _changes(folder: storage.Path) -> dict[str, str]:
    """Returns which changes of its config a run went through, and after how many images: it is no seed of others."""
    path = folder / run_config.CHANGES
    with from_user():
        lines = storage.read(path).splitlines() if storage.exists(path) else []
    try:
        told = [
            f'{change} at {one["images"]}'
            for one in map(json.loads, lines)
            for change in one['changes']
            if not change.startswith(('train_images:', *run_config.NO_WEIGHTS, *run_config.NO_TRAINING))
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} is damaged ({error})') from error
    return {'config_changes': '; '.join(told)} if told else {}


def _different(configs: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the keys that do not have one value in all configs."""
    missing = object()
    keys = sorted({key for config in configs for key in config})
    return [key for key in keys if any(c.get(key, missing) != configs[0].get(key, missing) for c in configs)]


def _about_row(row: dict[str, Any], tested: dict[str, str]) -> tuple[Any, ...]:
    """Returns what rows of one direction must share to be compared: which images were measured."""
    images = row.get('images', {})
    about = [images.get(key) for key in ('real', 'real_sha256', 'source_sha256')]
    return row['count'], *about, *(tested.get(row[side]) for side in ('source', 'target'))


def _alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether what rows are about is the same, as far as both tell."""
    return all(a == b or a is None or b is None for a, b in zip(one, other, strict=True))


def _different_images(runs: Sequence[Run]) -> list[str]:
    """Returns a line for each protocol and direction in which runs of several configs were measured on other images."""
    first: dict[tuple[str, str, str], tuple[Run, tuple[Any, ...]]] = {}
    found = {}
    for run in runs:
        for name, result in run.protocols.items():
            for row in result['directions']:
                key, about = (name, row['source'], row['target']), _about_row(row, run.tested)
                one, its_own = first.setdefault(key, (run, about))
                if not _alike(its_own, about):
                    found.setdefault(key, f'{one.workdir} and {run.workdir}')
    return [
        f'{name}, {source} -> {target}: {two} were not evaluated on the same test images, or at another size; their '
        'numbers do not compare'
        for (name, source, target), two in found.items()
    ]


def _directions(runs: Sequence[Run], protocol: str) -> list[dict[str, Any]]:
    """Returns mean and spread over runs of one config, direction by direction."""
    by_direction: dict[Direction, list[tuple[Run, dict[str, Any]]]] = {}
    for run in runs:
        for row in run.protocols[protocol]['directions']:
            there = by_direction.setdefault((row['source'], row['target']), [])
            there.append((run, row))
            if not _alike(_about_row(row, run.tested), _about_row(there[0][1], there[0][0].tested)):
                raise UserError(
                    f'{there[0][0].workdir} and {run.workdir} were evaluated on different test images ({protocol}, '
                    f'{row["source"]} -> {row["target"]}): evaluate them anew on the same'
                )
    return [
        {
            'source': source,
            'target': target,
            'seeds': [run.seed for run, _ in found],
            'measures': {
                name: _over_seeds(name, [row for _, row in found])
                for name in found[0][1]['translated']
                if all(name in row['translated'] for _, row in found)
            },
        }
        for (source, target), found in by_direction.items()
    ]


def _over_seeds(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = [row['translated'][name] for row in rows]
    found = {
        'values': values,
        'mean': float(np.mean(values)),
        'deviation': float(np.std(values, ddof=1)) if len(values) > 1 else None,
        'untouched_source': rows[0].get('untouched_source', {}).get(name),
    }
    # Of as many images as the untouched sources, where sources have several outputs.
    of_one = [row['one_output'][name] for row in rows if name in row.get('one_output', {})]
    return found | ({'one_output': float(np.mean(of_one))} if of_one else {})
