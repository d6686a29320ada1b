"""Two folders of images compared: other people's outputs, measured by the same code."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gan_transfer import data, storage
from gan_transfer.evaluation import outputs, sets
from gan_transfer.evaluation.features import make_features, measure
from gan_transfer.evaluation.protocols import PROTOCOLS, SMALLEST_SET, features_name

FOR_FOLDERS = ('default', 'cut_test_test', 'clean_test_test', 'egsde')


def compare_folders(config: Any, real: str, generated: str, *, resize: bool) -> dict[str, Any]:
    """Returns the measures of sets of images by each protocol of the config, `default` where it names none.

    The floor is one half of the real images against the other half: more than the whole would give, as distances of
    fewer images are.

    Args:
      real, generated: the folders; their images are read in the order of their paths, folders inside included.
      resize: to `config.image_size`; else all images must have one size.

    Raises:
      ValueError: for a folder without images, an image that cannot be read, sizes that differ, numbers of images other
        than a protocol or `config.evaluation.counts` (of generated and real images) prescribes.
    """
    settings = config.evaluation
    names = settings.protocols or ('default',)
    for name in names:
        if name not in FOR_FOLDERS:
            raise ValueError(f'no protocol {name!r} for folders; choose from {", ".join(FOR_FOLDERS)}')
    size = (config.image_size, config.image_size) if resize else None
    files = {'generated': _files(generated), 'real': _files(real)}
    for name in names:
        _check_counts('evaluation.counts', settings.counts, files)
        _check_counts(f'the protocol {name}', PROTOCOLS[name].counts, files)
    found: dict[str, Any] = {}
    for name in names:
        protocol = PROTOCOLS[name]
        features = make_features(settings, protocol.features, protocol.resize)
        sides = {
            side: measure(_batches(paths, config, size), features.function) for side, paths in files.items()
        }
        real, generated_ones = sides['real'].features, sides['generated'].features
        ending = features_name(protocol)
        compared = sets.compare(real, generated_ones, ending, settings.resamples)
        order = np.random.default_rng(outputs.SEED).permutation(len(real))
        halves = [real[np.sort(half)] for half in np.array_split(order, 2)]
        floor = sets.compare(*halves, ending, settings.resamples) if len(halves[1]) >= SMALLEST_SET else None
        found[name] = {
            'about': protocol.about,
            'features': features.about,
            'images': {side: len(paths) for side, paths in files.items()},
            'sha256': {side: measured.sha256 for side, measured in sides.items()},  # of the pixels, in order
            'size': {side: measured.size for side, measured in sides.items()},  # height and width, px
            'resized': resize,
            'seed': outputs.SEED,
            'translated': compared.values,
            'floor': floor.values if floor else {},
            'intervals': {
                'translated': compared.intervals,
                'floor': floor.intervals if floor else {},
            },
            'standard_errors': {
                'translated': compared.standard_errors,
                'floor': floor.standard_errors if floor else {},
            },
        }
    return found


def _files(folder: str) -> list[storage.Path]:
    place = storage.place(folder)
    with storage.reached(place):
        if not place.is_dir():
            raise ValueError(f'no such folder: {folder}')
    files = [path for path in storage.files_in(place) if path.suffix.lower() in data.EXTENSIONS]
    if not files:
        raise ValueError(f'{folder} has no images ({", ".join(data.EXTENSIONS)})')
    return files


def _check_counts(what: str, counts: Any, files: dict[str, list[storage.Path]]) -> None:
    there = len(files['generated']), len(files['real'])
    if counts and tuple(counts) != there:
        raise ValueError(f'{what} asks for {tuple(counts)} generated and real images; there are {there}')


def _batches(
    paths: list[storage.Path], config: Any, size: tuple[int, int] | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the images of files, as `measure` takes them, `config.evaluate_batch_size` at a time."""
    expected = None
    for count, indices in outputs.in_batches(len(paths), config.evaluate_batch_size):
        images = []
        for i in indices:
            image = data.read_image(str(paths[i]), config.data.background)
            image = image if size is None else data.resize(image, size)
            expected = expected or image.shape
            if image.shape != expected:
                raise ValueError(
                    f'{paths[i]} has {image.shape[1]}x{image.shape[0]} px, the images before it '
                    f'{expected[1]}x{expected[0]}; --config=FILE resizes all to its image_size'
                )
            images.append(image)
        yield count, np.stack(images)
