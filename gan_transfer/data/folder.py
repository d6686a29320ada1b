"""Your own images, in folders."""

import functools
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from gan_transfer import storage
from gan_transfer.data import check
from gan_transfer.data.dataset import (
    Dataset,
    Faults,
    Images,
    MemoryBudget,
    pair_unreadable,
    select_domains,
)
from gan_transfer.data.decode import EXTENSIONS, WHITE, has_image_name, printable, read_image

LAYOUTS = (
    'train/<domain>/ with test/<domain>/ or val/<domain>/, or trainA trainB with testA testB, or pairs: '
    'train/ and test/ with two images side by side in each file, or A/train B/train with A/test B/test'
)
SPLITS = ('test', 'val')
_OF_A_WORD = re.compile(r'(ings?|ed|ers?|val)(?![a-z])')  # training, trained_models, trainer, trainval


class Domain(NamedTuple):
    """The training folder and the files of one domain; `half` is 0 or 1 where a file holds two images, else None."""

    folder: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    half: int | None = None


def open_folder(
    path: str,
    cache: Path,
    domains: Sequence[str] = (),
    *,
    background: Sequence[int],
    max_corrupt_share: float,
    threads: int,
) -> Dataset:
    """Opens folders of images in one of four layouts, the last two of which are pairs.

    - `train/<domain>/*` (AFHQ), with `test/<domain>/*` or else `val/<domain>/*`.
    - `trainA trainB testA testB` (CycleGAN), domains A and B; other endings work as well, longer ones where there is
      none of one letter.
    - `train/*` with `test/*` or else `val/*`, two images side by side in each file (pix2pix): the left half is
      domain A, the right half domain B.
    - `A/train/*` and `B/train/*` with `A/test/*` or else `A/val/*`: pairs have one name, whatever its ending.

    Of `test` and `val` the first that holds images counts; both may be missing. Files with another ending than those of
    `decode.EXTENSIONS` are left alone; folders inside a domain's too. Every image is decoded once to see that it can
    be; the result is kept in `cache`. One unreadable image of a pair makes both unreadable.

    Args:
      path: the root of the folders.
      domains: names, in the order of their labels; empty is all, sorted.
      background: RGB that transparent images are put on.
      max_corrupt_share: of a domain's images that may be unreadable.

    Raises:
      ValueError: for a missing folder, one that is of two layouts, an unknown or empty domain, an image without
        counterpart where the others have one, too many unreadable images.
    """
    if not path:
        raise ValueError(f"data.source='folder' needs data.path: a folder with {LAYOUTS}")
    root = storage.place(path)
    with storage.reached(root):
        if not root.is_dir():
            raise ValueError(f'data.path={path!r} is no folder')
        found, paired = _find_domains(root)
    names = select_domains(domains, tuple(found), f'data.path={path!r}')
    for name in names:
        if not found[name].train:
            raise ValueError(_empty_domain(found[name].folder, path))
    faults, memory = Faults(), MemoryBudget()
    forget = functools.partial(check.forget, root, cache)
    places: dict[str, Path] = {}

    def images(files: Sequence[Path], half: int | None) -> Images:
        keys = [printable(file.relative_to(root).as_posix()) for file in files]
        places.update(zip(keys, files, strict=True))
        return Images(keys, functools.partial(_read, files, background, half), faults, memory, forget)

    train = {name: images(found[name].train, found[name].half) for name in names}
    test = {name: images(found[name].test, found[name].half) for name in names}
    check_read = functools.partial(_read_file, half=found[names[0]].half)
    unreadable = check.find_unreadable(root, places, cache, threads, check_read)
    if paired and len(names) == 2:
        for part in (train, test):
            pairs = zip(*(part[name].keys for name in names), strict=True)
            unreadable = pair_unreadable(unreadable, pairs)
    test = check.note_unreadable(unreadable, train, test, max_corrupt_share)
    return Dataset(
        name=f'folder {root}',
        domains=names,
        train=train,
        test=test,
        paired_test=paired,
        licence='',
        faults=faults,
        paired_train=paired,
        aligned=frozenset({frozenset(names)} if paired else ()),
    )


def _read(files: Sequence[Path], background: Sequence[int], half: int | None, index: int) -> np.ndarray:
    return _read_file(files[index], background, half)


def _read_file(path: Path, background: Sequence[int] = WHITE, half: int | None = None) -> np.ndarray:
    """Reads an image, or the left (0) or right (1) half of one."""
    image = read_image(path, background)
    if half is None:
        return image
    height, width = image.shape[:2]
    if width % 2 or width <= height:
        raise ValueError(f'{width}x{height} px are not two images of one size side by side')
    # A copy: a view would keep the other half in memory.
    return image[:, half * width // 2 : (half + 1) * width // 2].copy()


def _find_domains(root: Path) -> tuple[dict[str, Domain], bool]:
    """Returns the domains by name, sorted, and whether their images are pairs."""
    train = root / 'train'
    within = _subfolders(train) if train.is_dir() else []
    if _holds_images(train):
        beside = [printable(folder.name) for folder in within if _holds_images(folder)]
        if beside:
            raise ValueError(
                f'{train} holds both images and folders of images ({", ".join(beside[:8])}): images alone would be '
                'pairs side by side, folders alone domains; leave one of the two there'
            )
        files = list_images(train), list_images(_first(root / split for split in SPLITS))
        _warn_without_test(root, {'A': files[1]})
        return {name: Domain(train, *files, half=half) for half, name in enumerate('AB')}, True
    paired = not within and all((root / name / 'train').is_dir() for name in 'AB')
    if within:
        folders = {
            folder.name: (folder, _first(root / split / folder.name for split in SPLITS)) for folder in within
        }
    elif paired:
        folders = {
            name: (root / name / 'train', _first(root / name / split for split in SPLITS)) for name in 'AB'
        }
    else:
        folders = {
            ending: (root / f'train{ending}', _first(root / f'{split}{ending}' for split in SPLITS))
            for ending in _endings(root)
        }
    if not folders:
        there = _contents(root) + (f'; in train/: {_contents(train)}' if train.is_dir() else '')
        raise ValueError(f'data.path={str(root)!r} has no {LAYOUTS}; there is: {there}')
    _warn_without_test(root, {name: test for name, (_, test) in folders.items()})
    found = {name: Domain(parts[0], *map(list_images, parts)) for name, parts in folders.items()}
    if paired:
        found = {name: Domain(part.folder, *map(_by_stem, part[1:3])) for name, part in found.items()}
        _check_pairs(found['A'].train, found['B'].train)
        _check_pairs(found['A'].test, found['B'].test)
    return found, paired


def _endings(root: Path) -> list[str]:
    """Returns what the names of the training folders end in, after `train`: single letters, or else whole words.

    Other folders begin with these letters too: `training_samples`, `train_logs`.
    """
    endings = [
        folder.name.removeprefix('train') for folder in _subfolders(root) if folder.name[:5] == 'train'
    ]
    single = [ending for ending in endings if len(ending) == 1]
    words = [
        ending
        for ending in endings
        if ending and not _OF_A_WORD.match(ending) and _holds_images(root / f'train{ending}')
    ]
    chosen = single or words
    aside = [f'train{ending}' for ending in endings if ending and ending not in chosen]
    if chosen and aside:
        logging.warning(
            '%s: not read: %s (%s are)',
            *(root, printable(', '.join(aside)), ' '.join(f'train{ending}' for ending in chosen)),
        )
    return chosen


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(has_image_name(entry) and not entry.is_dir() for entry in folder.iterdir())


def _first(folders: Iterable[Path]) -> Path | None:
    return next((folder for folder in folders if _holds_images(folder)), None)


def _warn_without_test(root: Path, tests: Mapping[str, Any]) -> None:
    for name, test in tests.items():
        if not test:
            logging.warning('domain %s has no test images under %s', name, root)


def _by_stem(files: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(sorted(files, key=lambda file: file.stem))


def _check_pairs(first: Sequence[Path], second: Sequence[Path]) -> None:
    """Raises ValueError where a file has no counterpart, or two have one name; both are sorted by stem."""
    for files in (first, second):
        for file, after in itertools.pairwise(files):
            if file.stem == after.stem:
                raise ValueError(f'{file} and {after.name} have one name: which of them is in the pair?')
    stems = [{file.stem: file for file in files} for files in (first, second)]
    alone = [stems[i][stem] for i in (0, 1) for stem in sorted(stems[i].keys() - stems[1 - i].keys())]
    if alone:
        raise ValueError(f'{alone[0]} has no counterpart of its name ({len(alone)} such images)')


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def list_images(folder: Path | None) -> tuple[Path, ...]:
    """Returns the images in a folder, sorted; warns of what else is there, which the user may believe to be read."""
    if folder is None:
        return ()
    images, others = [], []
    for entry in sorted(folder.iterdir()):
        if has_image_name(entry) and not entry.is_dir():
            images.append(entry)
        elif not entry.name.startswith('.'):
            others.append(entry.name)
    if images and others:
        more = f' and {len(others) - 1} more' if len(others) > 1 else ''
        endings = ' '.join(EXTENSIONS)
        logging.warning('%s: not read: %s%s (%s are)', folder, printable(others[0]), more, endings)
    return tuple(images)


def _empty_domain(folder: Path, path: str) -> str:
    endings = ' '.join(EXTENSIONS)
    return f'no images ({endings}) in {folder} of data.path={path!r}; there is: {_contents(folder)}'


def _contents(folder: Path) -> str:
    """Names what is in a folder, shortened."""
    entries = sorted(entry.name + '/' * entry.is_dir() for entry in folder.iterdir())
    shown = ', '.join(entries[:8]) or 'nothing'
    return f'{shown}, ... ({len(entries)} in all)' if len(entries) > 8 else shown
