"""Measures a run, the newest checkpoint and the best one, or two folders of images; writes `evaluation.json`.

The best checkpoint is the one that `config.evaluate_every_images` kept while training. It was chosen on the same test
images, which flatters it: it is never printed without the final one.
"""

import json
import sys
from typing import Any

from gan_transfer import data, evaluation, processes, storage
from gan_transfer.checkpoint import BEST, Checkpoints, DamagedCheckpoint
from gan_transfer.code_version import code_version
from gan_transfer.errors import UserError, from_user
from gan_transfer.evaluation.evaluator import about_versions
from gan_transfer.evaluation.gallery import Gallery
from gan_transfer.evaluation.protocols import PROTOCOLS
from gan_transfer.evaluation.tables import print_results
from gan_transfer.experiment import open_dataset
from gan_transfer.fingerprint import digest
from gan_transfer.inference import Run, Translator, check_style, open_run

NAME, PAGE = 'evaluation.json', 'gallery.html'
SEED = 0  # of what a method draws while it translates


def evaluate(config: Any, workdir: str) -> dict[str, Any]:
    """Evaluates the checkpoints in `workdir`; writes the results, prints them as tables, and returns them.

    Several processes share the translating; each of them measures, and the first one writes and prints.

    Raises:
      UserError: where there is no checkpoint, or a protocol cannot be run.
    """
    run = open_run(config, workdir)
    dataset = open_dataset(config)
    if dataset.domains != run.domains:
        raise UserError(
            f'the run was trained on {", ".join(run.domains)}, the data has {", ".join(dataset.domains)}'
        )
    with from_user():
        evaluator = evaluation.Evaluator(
            config, dataset, run.experiment.method, run.directions, progress=processes.is_first()
        )
    for style in evaluator.styles:
        check_style(run, target=style == 'target', latent=style == 'latent')
    translator = Translator(run.experiment, config.evaluate_batch_size, SEED)
    gallery = Gallery(run.domains, config.evaluation.gallery_images)
    with from_user():
        final = evaluator(lambda batch: translator(run.params, batch), gallery.watch)
    about, checkpoint = _about(config, dataset, run), _about_checkpoint(run)
    earlier = _earlier(about, workdir) if processes.is_first() else {}
    results = {**about, 'checkpoint': checkpoint, 'protocols': _with_earlier(final, earlier, checkpoint)}

    def report() -> list[storage.Path]:
        if not processes.is_first():
            return []
        print_results(final, f'final checkpoint, after {run.images} images')
        places = [_write(results, workdir)]
        if config.evaluation.gallery_images:
            places.insert(0, storage.place(workdir, PAGE))
            gallery.write(places[0], f'{config.method.name} after {run.images} images')
        return places

    with from_user():
        places = processes.after_the_first(report)
    best = _open_best(config, workdir)  # damage there costs nothing of the final results
    if best is not None:
        with from_user():
            found = evaluator(lambda batch: translator(best.params, batch))
        checkpoint = _about_checkpoint(best)
        protocols = _with_earlier(found, earlier.get('best', {}), checkpoint)
        results['best'] = {'checkpoint': checkpoint, 'protocols': protocols}
        if processes.is_first():
            print_results(found, f'best checkpoint by these test images, after {best.images} images')
            with from_user():
                _write(results, workdir)
    for place in places:
        print(place)
    return results


def _open_best(config: Any, workdir: str) -> Run | None:
    """Opens the best checkpoint, if there is one; with `checkpoint.on_damage` 'fallback' a damaged one is left out."""
    if not Checkpoints(workdir, folder=BEST).latest():
        return None
    try:
        return open_run(config, workdir, folder=BEST)
    except DamagedCheckpoint as error:
        if config.checkpoint.on_damage == 'error' or not error.everywhere:
            raise
        print(f'warning: the best checkpoint is left out: {error}', file=sys.stderr)
        return None


def evaluate_folders(
    config: Any, workdir: str, real: str, generated: str, source: str | None = None, *, resize: bool
) -> dict[str, Any]:
    """Compares the images of two folders; writes the results into `workdir`, prints and returns them.

    Args:
      config: for `evaluation` and, with `resize`, `image_size`.
      workdir: the folder for `evaluation.json`.
      real, generated: the folders.
      source: the folder of what was translated, if it is to be compared too.
      resize: to `config.image_size`.

    Raises:
      UserError: for folders that cannot be compared, or a folder that holds results already.
    """
    with from_user():
        path = storage.place(workdir, NAME)
        there = storage.exists(path)
    if there:
        raise UserError(f'{path} exists; take another --workdir')
    with from_user():
        found = evaluation.compare_folders(config, real, generated, source, resize=resize)
    folders = {'real': real, 'generated': generated} | ({} if source is None else {'source': source})
    results = {**folders, 'versions': about_versions(), 'code': code_version(), 'protocols': found}
    own = any(PROTOCOLS[name].reals_at_own_size for name in found)
    resized = f', {"but for real images " if own else ""}resized to {config.image_size} px' if resize else ''
    print_results(found, f'{generated} against {real}{resized}')
    with from_user():
        print(_write(results, workdir))
    return results


def _earlier(about: dict[str, Any], workdir: str) -> dict[str, Any]:
    """Returns the results that are in `workdir` of the same method and data by the same versions; {} where none are."""
    path = storage.place(workdir, NAME)
    if not storage.exists(path):
        return {}
    try:
        found = json.loads(storage.read(path))
    except ValueError:
        return {}  # damaged; it is written anew
    same = isinstance(found, dict) and all(found.get(key) == value for key, value in about.items())
    return found if same else {}


def _with_earlier(
    found: dict[str, Any], earlier: dict[str, Any], checkpoint: dict[str, int | str]
) -> dict[str, Any]:
    """Adds protocols that were run before, on the same checkpoint and the same images, and mean now what they did then.

    Those of `found` replace them.
    """
    if earlier.get('checkpoint') != checkpoint:
        return found

    def pixels(name: str, results: dict[str, Any]) -> dict[tuple[Any, ...], str]:
        loaded = PROTOCOLS[name].interpolation
        rows = ((row, row.get('images', {}).get('source_sha256')) for row in results['directions'])
        return {(loaded, row['source'], row['target']): digest for row, digest in rows if digest}

    known = {key: digest for name in found for key, digest in pixels(name, found[name]).items()}
    kept = {
        name: result
        for name, result in earlier['protocols'].items()
        if name in PROTOCOLS
        and result['about'] == PROTOCOLS[name].about
        and all(known.get(key, digest) == digest for key, digest in pixels(name, result).items())
    }
    return kept | found


def _write(results: dict[str, Any], workdir: str) -> storage.Path:
    path = storage.place(workdir, NAME)
    storage.write(path, json.dumps(results, indent=2).encode() + b'\n')
    return path


def _about(config: Any, dataset: data.Dataset, run: Run) -> dict[str, Any]:
    return {
        'method': config.method.name,
        'image_size': config.image_size,
        'data': {
            'source': dataset.name,
            'domains': list(run.domains),
            'seed': config.seed,
            'training_images': dataset.training_images,
            'test_images': dataset.test_images,
        },
        'versions': about_versions(),
    }


def _about_checkpoint(run: Run) -> dict[str, int | str]:
    return {'step': run.step, 'images': run.images, 'weights': digest(run.params)}
