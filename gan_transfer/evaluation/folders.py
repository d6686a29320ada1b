"""Two folders of images compared: other people's outputs, measured by the same code."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gan_transfer import data, storage
from gan_transfer.evaluation import outputs, sets
from gan_transfer.evaluation.features import make_features, measure
from gan_transfer.evaluation.protocols import PROTOCOLS, SMALLEST_SET, features_name

FOR_FOLDERS = ('default', 'cut_test_test', 'clean_test_test', 'egsde', 'egsde_celeba_hq')


def compare_folders(
    config: Any, real: str, generated: str, source: str | None = None, *, resize: bool
) -> dict[str, Any]:
    """Returns the measures of sets of images by each protocol of the config, `default` where it names none.

    The floor is one half of the real images against the other half: more than the whole would give, as distances of
    fewer images are.

    Args:
      real, generated: the folders; their images are read in the order of their paths, folders inside included.
      source: the folder of the images that `generated` are translations of: untouched, they are the ceiling.
      resize: to `config.image_size`; else all images must have one size, but for `egsde`'s real ones.

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
    if source is not None:
        files['source'] = _files(source)
        if len(files['source']) != len(files['generated']):
            raise ValueError(
                f'--source has {len(files["source"])} images, --generated {len(files["generated"])}: the distances of '
                'as many compare'
            )
    for name in names:
        _check_counts('evaluation.counts', settings.counts, files)
        if PROTOCOLS[name].counts and PROTOCOLS[name].reals == 'train':
            wanted = PROTOCOLS[name].counts[0], len(files['real'])  # all training images, however many
        else:
            wanted = PROTOCOLS[name].counts
        _check_counts(f'the protocol {name}', wanted, files)
    found: dict[str, Any] = {}
    for name in names:
        protocol = PROTOCOLS[name]
        features = make_features(settings, protocol.features, protocol.resize)
        function = features.function
        own = {'real'} if protocol.reals_at_own_size else set()
        sides = {
            side: measure(
                _one_by_one(paths, config) if side in own else _batches(paths, config, size), function
            )
            for side, paths in files.items()
        }
        _check_sizes({side: measured.size for side, measured in sides.items() if side not in own})
        pairs = _to_compare({side: measured.features for side, measured in sides.items()})
        compared = {
            name: sets.compare(*pair, features_name(protocol), settings.resamples)
            for name, pair in pairs.items()
        }
        found[name] = {
            'about': f'{protocol.about}; of two folders the distances of sets alone',
            'features': features.about,
            'images': {side: len(paths) for side, paths in files.items()},
            'sha256': {side: measured.sha256 for side, measured in sides.items()},  # of the pixels, in order
            'size': {side: measured.size for side, measured in sides.items()},  # height and width, px
            'resized': resize,
            'seed': outputs.SEED,
            **{name: of_pair.values for name, of_pair in compared.items()},
            'intervals': {name: of_pair.intervals for name, of_pair in compared.items()},
            'standard_errors': {name: of_pair.standard_errors for name, of_pair in compared.items()},
        }
    return found


def _check_sizes(sizes: dict[str, tuple[int, int]]) -> None:
    if len(set(sizes.values())) > 1:
        there = ', '.join(f'{side} images have {w}x{h} px' for side, (h, w) in sizes.items())
        raise ValueError(f'{there}; --config.image_size=N resizes all')


def _to_compare(features: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns which features are compared with which, real ones first; no floor where the halves are too small."""
    real = features['real']
    pairs = {'translated': (real, features['generated'])}
    order = np.random.default_rng(outputs.SEED).permutation(len(real))
    first, second = (real[np.sort(half)] for half in np.array_split(order, 2))
    if len(second) >= SMALLEST_SET:
        pairs['floor'] = first, second
    if 'source' in features:
        pairs['untouched_source'] = real, features['source']
    return pairs


def _files(folder: str) -> list[storage.Path]:
    place = storage.place(folder)
    with storage.reached(place):
        if not place.is_dir():
            raise ValueError(f'no such folder: {folder}')
    files = [
        path
        for path in storage.files_in(place)
        if data.has_image_name(path)
        and not any(part.startswith('.') for part in path.relative_to(place).parts)
    ]
    if not files:
        raise ValueError(f'{folder} has no images ({", ".join(data.EXTENSIONS)})')
    return files


def _check_counts(what: str, counts: Any, files: dict[str, list[storage.Path]]) -> None:
    there = len(files['generated']), len(files['real'])
    if counts and tuple(counts) != there:
        raise ValueError(f'{what} asks for {tuple(counts)} generated and real images; there are {there}')


def _one_by_one(paths: list[storage.Path], config: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the images of files as they are, of whatever sizes."""
    for path in paths:
        yield 1, data.read_image(str(path), config.data.background)[None]


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
                    f'{expected[1]}x{expected[0]}; --config.image_size=N resizes all'
                )
            images.append(image)
        yield count, np.stack(images)
