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
      ValueError: for what is not there or cannot be read.
    """
    names, notes, networks = FAMILIES[family].NETWORKS, [], {}
    place = storage.place(path)
    with storage.reached(place):
        files = _files(place, names)
    for file, network in files.items():
        tree = read_safetensors_file(file) if file.suffix == '.safetensors' else read_torch_file(file)
        for name, arrays in _by_network(tree, file, network, names).items():
            kept, left_out = layout.without_constants(layout.without_prefixes(arrays))
            networks[names[name]] = kept
            notes += [f'{file.name}, {names[name]}: ignored {line}' for line in left_out]
        notes += [f'{file.name}: ignored the network {name!r}' for name in IGNORED if name in (tree or {})]
    if family == 'stargan_v2':
        networks, lines = stargan_v2.drop_unused(networks)
        notes += lines
    return networks, notes


def _files(path: storage.Path, names: dict[str, str]) -> dict[storage.Path, str | None]:
    """Returns the files to read, each with the name of its network if its own name tells it."""
    if not path.exists():
        raise ValueError(f'no such file or folder: {path}')
    match = _match(path, names)
    if not path.is_dir() and not match:
        return {path: None}
    there = [
        file
        for file in sorted((path if path.is_dir() else path.parent).iterdir())
        if file.suffix in ENDINGS and file.is_file()
    ]
    named: dict[str, dict[storage.Path, str]] = {}
    for file in there:
        if found := _match(file, names):
            named.setdefault(found['saved'], {})[file] = found['network']
    if not path.is_dir():
        companions = named[match['saved']]
        # The one that is named, where another file has the same network too.
        mine = names[match['network']]
        files = {file: network for file, network in companions.items() if names[network] != mine}
        files[path] = match['network']
    elif named:
        saved = 'latest' if 'latest' in named else next(iter(named))
        if len(named) > 1 and saved != 'latest':
            raise ValueError(f'{path} has files *_net_<network> of {", ".join(named)}: name one file')
        files = named[saved]
    elif len(there) == 1:
        return {there[0]: None}
    else:
        found = ', '.join(file.name for file in there[:8]) or 'none'
        raise ValueError(
            f'{path} has no file *_net_<network> of {", ".join(names)}; name one of its files: {found}'
        )
    first: dict[str, storage.Path] = {}
    for file, network in files.items():
        if names[network] in first:
            raise ValueError(
                f'{first[names[network]].name} and {file.name} hold the same network: name one file'
            )
        first[names[network]] = file
    return files


def _match(file: storage.Path, names: dict[str, str]) -> re.Match[str] | None:
    match = _ONE_NETWORK.fullmatch(file.stem)
    return match if match and match['network'] in names else None


def _by_network(
    tree: Any, file: storage.Path, network: str | None, names: dict[str, str]
) -> dict[str, dict[str, np.ndarray]]:
    """Returns the arrays of a file by the name that the original gives the network."""
    for _ in range(WRAPPERS):
        if isinstance(tree, dict) and isinstance(tree.get('state_dict'), dict):
            tree = tree['state_dict']
    if not isinstance(tree, dict) or not tree:
        raise ValueError(f'{file} holds no dictionary of weights')
    if any(isinstance(value, np.ndarray) for value in tree.values()):
        found = {network or _only(file, names): tree}
    else:
        found = {name: part for name, part in tree.items() if isinstance(part, dict) and name not in IGNORED}
    for name, part in found.items():
        if name not in names:
            raise ValueError(f'{file} has a network {name!r}; known are {", ".join(names)}')
        strange = [
            key for key, value in part.items() if not (isinstance(key, str) and isinstance(value, np.ndarray))
        ]
        if strange or not part:
            raise ValueError(f'{file}: network {name!r} has no array at {strange[:4]}')
    if not found:
        raise ValueError(f'{file} holds no weights; there is {", ".join(map(str, tree))}')
    return found


def _only(file: storage.Path, names: dict[str, str]) -> str:
    """The network of a file of one network that does not tell which: the generator."""
    if 'G' not in names:
        raise ValueError(f'{file} holds one network; a file of all ({", ".join(names)}) is needed')
    return 'G'
