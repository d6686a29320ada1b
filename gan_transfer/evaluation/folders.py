"""Two folders of images compared, as sets or pair by pair: other people's outputs, measured by the same code."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from gan_transfer import data, storage
from gan_transfer.evaluation import measures, outputs, sets
from gan_transfer.evaluation.features import make_features, measure
from gan_transfer.evaluation.protocols import PROTOCOLS, SMALLEST_SET, Protocol, features_name

FOR_FOLDERS = ('default', 'paired_test', 'cut_test_test', 'clean_test_test', 'egsde', 'egsde_celeba_hq')


def compare_folders(
    config: Any, real: str, generated: str, source: str | None = None, *, resize: bool
) -> dict[str, Any]:
    """Returns the measures of two folders by each protocol of the config, `default` where it names none.

    The floor is one half of the real images against the other half: more than the whole would give, as distances of
    fewer images are. There is none where a half has fewer than `SMALLEST_SET` images.

    Args:
      real, generated: the folders; their images are read in the order of their paths, folders inside included.
      source: the folder of the images that `generated` are translations of: untouched, they are the ceiling.
      resize: to `config.image_size`; else all images must have one size, but for `egsde`'s real ones.

    Raises:
      ValueError: for a folder without images or inside another, an image that cannot be read, sizes that differ,
        numbers of images other than a protocol or `config.evaluation.counts` (of generated and real images) prescribes;
        for pairs, names that differ.
    """
    settings = config.evaluation
    names = settings.protocols or ('default',)
    for name in names:
        if name not in FOR_FOLDERS:
            raise ValueError(f'no protocol {name!r} for folders; choose from {", ".join(FOR_FOLDERS)}')
    size = (config.image_size, config.image_size) if resize else None
    folders = {'generated': generated, 'real': real} | ({} if source is None else {'source': source})
    _check_apart(folders)
    files = {side: _files(folder) for side, folder in folders.items()}
    if source is not None and len(files['source']) != len(files['generated']):
        raise ValueError(
            f'--source has {len(files["source"])} images, --generated {len(files["generated"])}: the distances of '
            'as many compare'
        )
    for name in names:
        protocol = PROTOCOLS[name]
        _check_counts('evaluation.counts', settings.counts, files)
        wanted = protocol.counts
        if wanted and protocol.reals == 'train':
            wanted = wanted[0], len(files['real'])  # all training images, however many
        _check_counts(f'the protocol {name}', wanted, files)
        if protocol.truth:
            _check_names(name, folders, files)
    return {
        name: (_compare_pairs if PROTOCOLS[name].truth else _compare_sets)(config, name, files, size)
        for name in names
    }


def _compare_sets(
    config: Any, name: str, files: dict[str, list[storage.Path]], size: tuple[int, int] | None
) -> dict[str, Any]:
    """Returns the distances of generated, and source, images to the real ones."""
    protocol, settings = PROTOCOLS[name], config.evaluation
    features = make_features(settings, protocol.features, protocol.resize)
    own = {'real'} if protocol.reals_at_own_size else set()
    sides = {
        side: measure(
            _one_by_one(paths, config) if side in own else _batches(paths, config, size, protocol),
            features.function,
        )
        for side, paths in files.items()
    }
    sizes = {side: None if side in own else measured.size for side, measured in sides.items()}
    _check_sizes({side: size for side, size in sizes.items() if size})
    pairs = _to_compare({side: measured.features for side, measured in sides.items()})
    compared = {
        side: sets.compare(*pair, features_name(protocol), settings.resamples) for side, pair in pairs.items()
    }
    return {
        'about': f'{protocol.about}; of two folders the distances of sets alone',
        'features': features.about,
        'images': {side: len(paths) for side, paths in files.items()},
        'sha256': {side: measured.sha256 for side, measured in sides.items()},  # of the pixels, in order
        'size': sizes,  # height and width, px; None: of each image's own
        'resized': size is not None,
        'seed': outputs.SEED,
        **(
            {}
            if 'floor' in pairs
            else {
                'meaning': f'no floor: of {len(files["real"])} real images halves would have fewer than {SMALLEST_SET}'
            }
        ),
        **{side: of_pair.values for side, of_pair in compared.items()},
        'intervals': {side: of_pair.intervals for side, of_pair in compared.items()},
        'standard_errors': {side: of_pair.standard_errors for side, of_pair in compared.items()},
    }


def _compare_pairs(
    config: Any, name: str, files: dict[str, list[storage.Path]], size: tuple[int, int] | None
) -> dict[str, Any]:
    """Returns the means of what compares each generated, and source, image with the real one of its name."""
    protocol = PROTOCOLS[name]
    compute = measures.make(measures.Networks())
    digests = {side: hashlib.sha256() for side in files}
    found: dict[str, list[measures.Values]] = {}
    batches = {side: _batches(paths, config, size, protocol) for side, paths in files.items()}
    for parts in zip(*batches.values(), strict=True):
        count, images = parts[0][0], {side: part[1] for side, part in zip(batches, parts, strict=True)}
        sizes = {side: of_side.shape[1:3] for side, of_side in images.items()}
        _check_sizes(sizes)
        measures.check_size(name, protocol, min(images['real'].shape[1:3]))
        for side, of_side in images.items():
            digests[side].update(of_side[:count].tobytes())
        real = images.pop('real')
        batch = outputs.Translated(count, [], real, [real], None, None, [real])
        for side, of_side in images.items():
            found.setdefault(side, []).append(compute(protocol.measures, batch, [of_side]))
    titles = {'generated': 'translated', 'source': 'untouched_source'}
    summaries = {titles[side]: measures.summarize(parts) for side, parts in found.items()}
    return {
        'about': f'{protocol.about}; pairs of two folders, by the names of their files',
        'images': {side: len(paths) for side, paths in files.items()},
        'sha256': {side: digest.hexdigest() for side, digest in digests.items()},  # of the pixels, in order
        'size': sizes,  # height and width, px
        'resized': size is not None,
        **{side: means for side, (means, _) in summaries.items()},
        'intervals': {side: ends for side, (_, ends) in summaries.items()},
    }


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
    found = [
        path
        for path in storage.files_in(place)
        if not any(part.startswith('.') for part in path.relative_to(place).parts)
    ]
    linked = [path for path in found if not storage.is_remote(path) and path.is_symlink() and path.is_dir()]
    if linked:
        raise ValueError(f'{linked[0]} is a link to a folder, which is not followed; name the folder itself')
    files = [path for path in found if data.has_image_name(path)]
    if not files:
        raise ValueError(f'{folder} has no images ({", ".join(data.EXTENSIONS)})')
    # By their names first: of all endings, `a.m.png` would stand before `a.png`, and `a.m.bmp` behind `a.bmp`.
    return sorted(files, key=lambda path: (path.with_suffix('').parts, path.suffix))


def _check_apart(folders: dict[str, str]) -> None:
    """Raises ValueError where one folder holds another: its images would count for both."""
    places = {side: storage.absolute(folder) for side, folder in folders.items()}
    places = {side: place if storage.is_remote(place) else place.resolve() for side, place in places.items()}
    for (inner, one), (outer, other) in itertools.permutations(folders.items(), 2):
        if places[outer] in places[inner].parents:
            raise ValueError(
                f'--{inner}={one} is inside of --{outer}={other}, whose images would be among its'
            )


def _check_names(protocol: str, folders: dict[str, str], files: dict[str, list[storage.Path]]) -> None:
    """Raises ValueError where the images of all folders do not have the same names, endings aside."""
    names = {
        side: {str(path.relative_to(storage.place(folders[side])).with_suffix('')) for path in paths}
        for side, paths in files.items()
    }
    for side in files:
        for other in files:
            missing = sorted(names[side] - names[other])
            if missing:
                raise ValueError(
                    f'{protocol} compares images of one name: --{other}={folders[other]} has no {missing[0]!r}, which '
                    f'is in --{side} ({len(missing)} such)'
                )
        if len(names[side]) < len(files[side]):
            raise ValueError(f'--{side}={folders[side]} has images whose names differ in their ending alone')


def _check_counts(what: str, counts: Any, files: dict[str, list[storage.Path]]) -> None:
    there = len(files['generated']), len(files['real'])
    if counts and tuple(counts) != there:
        raise ValueError(f'{what} asks for {tuple(counts)} generated and real images; there are {there}')


def _one_by_one(paths: list[storage.Path], config: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the images of files as they are, of whatever sizes."""
    for path in paths:
        yield 1, data.read_image(str(path), config.data.background)[None]


def _batches(
    paths: list[storage.Path], config: Any, size: tuple[int, int] | None, protocol: Protocol
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the images of files, as `measure` takes them, `config.evaluate_batch_size` at a time."""
    expected = None
    for count, indices in outputs.in_batches(len(paths), config.evaluate_batch_size):
        images = []
        for i in indices:
            image = data.read_image(str(paths[i]), config.data.background)
            image = image if size is None else data.resize(image, size, protocol.reals_interpolation)
            expected = expected or image.shape
            if image.shape != expected:
                raise ValueError(
                    f'{paths[i]} has {image.shape[1]}x{image.shape[0]} px, the images before it '
                    f'{expected[1]}x{expected[0]}; --config.image_size=N resizes all'
                )
            images.append(image)
        yield count, np.stack(images)
