"""Your own images, in folders."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from gan_transfer.data import check
from gan_transfer.data.dataset import Dataset, Faults, Images, MemoryBudget, select_domains
from gan_transfer.data.decode import EXTENSIONS, read_image

LAYOUTS = 'train/<domain>/ with test/<domain>/ or val/<domain>/, or trainA trainB with testA testB'


def open_folder(
    path: str,
    cache: Path,
    domains: Sequence[str] = (),
    *,
    background: Sequence[int],
    max_corrupt_share: float,
    threads: int,
) -> Dataset:
    """Opens folders of images in one of two layouts.

    - `train/<domain>/*` (AFHQ), with `test/<domain>/*` or else `val/<domain>/*`.
    - `trainA trainB testA testB` (CycleGAN), domains A and B; other endings work as well.

    Files with another ending than those of `decode.EXTENSIONS` are left alone; folders inside a domain's too. A test
    folder may be missing. Every image is decoded once to see that it can be; the result is kept in `cache`.

    Args:
      path: the root of the folders.
      domains: names, in the order of their labels; empty is all, sorted.
      background: RGB that transparent images are put on.
      max_corrupt_share: of a domain's images that may be unreadable.

    Raises:
      ValueError: for a missing folder, an unknown or empty domain, too many unreadable images.
    """
    if not path:
        raise ValueError(f"data.source='folder' needs data.path: a folder with {LAYOUTS}")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(f'data.path={path!r} is no folder')
    folders = _find_domains(root)
    names = select_domains(domains, tuple(folders), f'data.path={path!r}')
    files = {name: tuple(_list_images(folder) for folder in folders[name]) for name in names}
    for name in names:
        if not files[name][0]:
            raise ValueError(_empty_domain(folders[name][0], path))
    faults, memory = Faults(), MemoryBudget()

    def images(paths: Sequence[Path]) -> Images:
        keys = [file.relative_to(root).as_posix() for file in paths]
        return Images(keys, functools.partial(_read, paths, background), faults, memory)

    train = {name: images(files[name][0]) for name in names}
    test = {name: images(files[name][1]) for name in names}
    everything = [key for part in (*train.values(), *test.values()) for key in part.keys]
    unreadable = check.find_unreadable(root, everything, cache, threads)
    check.note_unreadable(unreadable, train, test, max_corrupt_share)
    return Dataset(
        name=f'folder {root}',
        domains=names,
        train=train,
        test=test,
        paired_test=False,
        licence='',
        faults=faults,
    )


def _read(paths: Sequence[Path], background: Sequence[int], index: int) -> np.ndarray:
    return read_image(paths[index], background)


def _find_domains(root: Path) -> dict[str, tuple[Path, Path | None]]:
    """Returns domain -> (training folder, test folder or None), sorted by name."""
    train = root / 'train'
    if train.is_dir():
        tests = [root / name for name in ('test', 'val') if (root / name).is_dir()]
        found = {}
        for folder in _subfolders(train):
            candidates = [test / folder.name for test in tests if (test / folder.name).is_dir()]
            found[folder.name] = (folder, candidates[0] if candidates else None)
    else:
        found = {}
        for folder in _subfolders(root):
            ending = folder.name.removeprefix('train')
            if ending and ending != folder.name:
                candidates = [root / f'{name}{ending}' for name in ('test', 'val')]
                found[ending] = (folder, next((test for test in candidates if test.is_dir()), None))
    if not found:
        raise ValueError(f'data.path={str(root)!r} has no {LAYOUTS}; there is: {_contents(train, root)}')
    for name, (_, test) in found.items():
        if test is None:
            logging.warning('domain %s has no test folder under %s', name, root)
    return found


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith('.'))


def _list_images(folder: Path | None) -> tuple[Path, ...]:
    if folder is None:
        return ()
    return tuple(
        sorted(
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith('.') and not entry.is_dir()
        )
    )


def _empty_domain(folder: Path, path: str) -> str:
    endings = ' '.join(EXTENSIONS)
    return f'no images ({endings}) in {folder} of data.path={path!r}; there is: {_contents(folder)}'


def _contents(*folders: Path) -> str:
    """Names what is in the first of the folders that exists, shortened."""
    folder = next(folder for folder in folders if folder.is_dir())
    entries = sorted(entry.name + '/' * entry.is_dir() for entry in folder.iterdir())
    shown = ', '.join(entries[:8]) or 'nothing'
    return f'{shown}, ... ({len(entries)} in all)' if len(entries) > 8 else shown
