"""Which files hold which networks of a published checkpoint, and their arrays by our names."""

import re
from typing import Any

import numpy as np

from gan_transfer import storage
from gan_transfer.importers import cut, cyclegan, layout, pix2pix, stargan_v2
from gan_transfer.importers.safetensors_file import read_safetensors_file
from gan_transfer.importers.torch_file import read_torch_file

FAMILIES = {'cut': cut, 'cyclegan': cyclegan, 'pix2pix': pix2pix, 'stargan_v2': stargan_v2}
ENDINGS = ('.pth', '.pt', '.ckpt', '.safetensors')
# `latest_net_G_A.pth` and the like: when it was saved, and which network it is.
_ONE_NETWORK = re.compile(r'(?P<saved>.+)_net_(?P<network>[A-Z](_[AB])?)$')
WRAPPERS = 4  # 'state_dict' within 'state_dict': a file may hold itself
IGNORED = ('fan',)  # the face landmarks' network beside StarGAN v2's


def read_networks(path: str, family: str) -> tuple[dict[str, layout.StateDict], list[str]]:
    """Returns the learnt arrays of each network, by our names, and a line about everything that was left out.

    Args:
      path: a file with one network or several, whose companions (`latest_net_G_A.pth` and `latest_net_D_A.pth`) are
        read as well; or the folder of such files, or of a single file.
      family: of FAMILIES.

    Raises:
      ValueError: for what is not there or cannot be read, and for two networks of which one is needed.
    """
    names, notes, networks = FAMILIES[family].NETWORKS, [], {}
    origins: dict[str, str] = {}
    place = storage.place(path)
    with storage.reached(place):
        files = _files(place, names)
    for file, network in files.items():
        tree = read_safetensors_file(file) if file.suffix == '.safetensors' else read_torch_file(file)
        found, lines = _by_network(tree, file, network, names)
        notes += [f'{file.name}: {line}' for line in lines]
        if not found and file == place:
            raise ValueError(f'{file} has no weights')
        for name, arrays in found.items():
            ours, origin = names[name], f'{name} of {file.name}'
            if ours in networks:
                raise ValueError(
                    f'{origins[ours]} and {origin} are the same network: name a file with one of them'
                )
            origins[ours] = origin
            networks[ours], left_out = layout.without_constants(layout.without_prefixes(arrays))
            notes += [f'{file.name}, {ours}: ignored {line}' for line in left_out]
    if not networks:
        raise ValueError(f'{path} has no weights')
    if family == 'stargan_v2':
        networks, lines = stargan_v2.drop_unused(networks)
        notes += lines
    return networks, notes


def _files(path: storage.Path, names: dict[str, str]) -> dict[storage.Path, str | None]:
    """Returns the files to read, each with the name of its network if its own name tells it."""
    if not path.exists():
        raise ValueError(f'no such file or folder: {path}')
    if path.is_dir():
        return _of_folder(path, names)
    match = _match(path, names)
    if not match:
        return {path: None}
    companions = _saved_together(_in_folder(path.parent), names).get(match['saved'], {})
    # The one that is named, where another file has the same network too.
    mine = names[match['network']]
    return {file: network for file, network in companions.items() if names[network] != mine} | {
        path: match['network']
    }


def _of_folder(folder: storage.Path, names: dict[str, str]) -> dict[storage.Path, str | None]:
    """Returns the files of the latest networks; of the only ones, or the only file, where none is called so."""
    there = _in_folder(folder)
    saved = _saved_together(there, names)
    if 'latest' in saved:
        return saved['latest']
    if len(saved) > 1:
        raise ValueError(f'{folder} has files *_net_<network> of {", ".join(saved)}: name one file')
    if saved:
        return next(iter(saved.values()))
    if len(there) == 1:
        return {there[0]: None}
    found = ', '.join(file.name for file in there[:8]) or 'none'
    raise ValueError(
        f'{folder} has no file *_net_<network> of {", ".join(names)}; name one of its files: {found}'
    )


def _in_folder(folder: storage.Path) -> list[storage.Path]:
    return [file for file in sorted(folder.iterdir()) if file.suffix in ENDINGS and file.is_file()]


def _saved_together(there: list[storage.Path], names: dict[str, str]) -> dict[str, dict[storage.Path, str]]:
    """Returns the files whose names tell their networks, by when they were saved."""
    saved: dict[str, dict[storage.Path, str]] = {}
    for file in there:
        if found := _match(file, names):
            saved.setdefault(found['saved'], {})[file] = found['network']
    return saved


def _match(file: storage.Path, names: dict[str, str]) -> re.Match[str] | None:
    match = _ONE_NETWORK.fullmatch(file.stem)
    return match if match and match['network'] in names else None


def _by_network(
    tree: Any, file: storage.Path, network: str | None, names: dict[str, str]
) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
    """Returns the arrays of a file by the name that the original gives the network, and lines about all the rest.

    Raises:
      ValueError: for what may be weights and is of no known network, and where there is no weight at all.
    """
    beside: list[Any] = []
    for _ in range(WRAPPERS):
        if isinstance(tree, dict) and isinstance(tree.get('state_dict'), dict):
            beside += [key for key in tree if key != 'state_dict']
            tree = tree['state_dict']
    if not isinstance(tree, dict) or not (tree or network):
        raise ValueError(f'{file} holds no dictionary of weights')
    parts = {name: part for name, part in tree.items() if isinstance(part, dict)}
    flat = any(isinstance(value, np.ndarray) for value in tree.values())
    if flat and parts.keys().isdisjoint((*names, *IGNORED)):
        parts = _of_flat(tree, file, network, names)
    else:
        beside += [key for key in tree if key not in parts]
    found = {name: part for name, part in parts.items() if name not in IGNORED}
    for name, part in found.items():
        shown = layout.shown(name)
        if name not in names:
            raise ValueError(f"{file} has a network '{shown}'; known are {', '.join(names)}")
        if not part:
            raise ValueError(f"{file}: network '{shown}' has no weights")
        _check(part, f"{file}: network '{shown}'")
    if not found and tree:
        raise ValueError(f'{file} holds no weights; there is {layout.some(tree)}')
    lines = [f'ignored the network {name!r}' for name in parts if name in IGNORED]
    if beside:
        lines.append(f'ignored beside the weights: {", ".join(map(layout.shown, beside))}')
    return found, lines if found else [*lines, 'has no weights']


def _of_flat(
    tree: dict, file: storage.Path, network: str | None, names: dict[str, str]
) -> dict[str, dict[str, np.ndarray]]:
    """Returns the arrays by network: several where every key begins with the name of one, as in safetensors files."""
    _check(tree, str(file))
    arrays = layout.without_prefixes(tree)
    beginnings = tuple(f'{name}.' for name in (*names, *IGNORED))
    # The file's name knows better: of a single network, keys may begin with anything.
    if network or not all(key.startswith(beginnings) for key in arrays):
        return {network or _only(file, names): arrays}
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, value in arrays.items():
        name, _, rest = key.partition('.')
        parts.setdefault(name, {})[rest] = value
    return parts


def _check(arrays: dict, whose: str) -> None:
    strange = [
        key for key, value in arrays.items() if not (isinstance(key, str) and isinstance(value, np.ndarray))
    ]
    if strange:
        raise ValueError(f'{whose} has no array at {layout.some(dict.fromkeys(strange))}')


def _only(file: storage.Path, names: dict[str, str]) -> str:
    """The network of a file of one network that does not tell which: the generator."""
    if 'G' not in names:
        every = ', '.join(names)
        raise ValueError(
            f'{file} holds one network; a file of all ({every}) is needed, or keys that begin with these names'
        )
    return 'G'
