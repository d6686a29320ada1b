"""How single PyTorch tensors become ours, and the accounting of every key of a state_dict.

A layout is a list of `Entry`: a prefix of the file's keys, the place in our parameters, and the kind of layer.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

StateDict = Mapping[str, np.ndarray]


class Entry(NamedTuple):
    """One layer: `prefix` in the file (without `.weight`), `path` in our parameters, and its kind.

    A kind of 'domain_linear' is one linear layer per domain in the file, where `prefix` has '{domain}' in it, and a
    single stacked layer here.
    """

    prefix: str
    path: str
    kind: str


def _convolution(weight: np.ndarray) -> np.ndarray:
    return weight.transpose(2, 3, 1, 0)  # OIHW to HWIO


def _transposed(weight: np.ndarray) -> np.ndarray:
    return weight.transpose(2, 3, 0, 1)  # IOHW to HWIO


def _linear(weight: np.ndarray) -> np.ndarray:
    return weight.reshape(weight.shape[:2]).T  # also a 1x1 convolution on a 1x1 map


def _same(weight: np.ndarray) -> np.ndarray:
    return weight


# kind -> (our name of the weight, how it is laid out here)
_KINDS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    'convolution': ('kernel', _convolution),
    'transposed': ('kernel', _transposed),
    'linear': ('kernel', _linear),
    'domain_linear': ('kernel', _linear),
    'norm': ('scale', _same),
}


def count(state_dict: StateDict, pattern: str) -> int:
    """Returns how many of pattern.format(0), pattern.format(1), ... are keys, up to the first that is not."""
    number = 0
    while pattern.format(number) in state_dict:
        number += 1
    return number


def indices(state_dict: StateDict, prefix: str) -> list[int]:
    """Returns the sorted numbers i of keys `<prefix>.i.…`."""
    rest = (key[len(prefix) + 1 :].split('.')[0] for key in state_dict if key.startswith(prefix + '.'))
    return sorted({int(part) for part in rest if part.isdigit()})


def load(entries: Iterable[Entry], state_dict: StateDict) -> dict[str, Any]:
    """Returns our parameters. ValueError lists the keys that are missing from the file or left over in it."""
    params: dict[str, Any] = {}
    used, missing = set(), []
    domains = count(state_dict, 'unshared.{}.weight') or count(state_dict, 'unshared.{}.0.weight')

    def take(key: str) -> np.ndarray:
        used.add(key)
        if key not in state_dict:
            missing.append(key)
            return np.zeros((1, 1, 1, 1), np.float32)
        return np.asarray(state_dict[key], np.float32)

    for entry in entries:
        name, arrange = _KINDS[entry.kind]
        place = params
        for part in entry.path.split('/'):
            place = place.setdefault(part, {})
        if entry.kind == 'domain_linear':
            prefixes = [entry.prefix.format(domain=d) for d in range(domains)]
            place[name] = np.stack([arrange(take(f'{prefix}.weight')) for prefix in prefixes])
            place['bias'] = np.stack([take(f'{prefix}.bias') for prefix in prefixes])
            continue
        place[name] = arrange(take(f'{entry.prefix}.weight'))
        if not entry.path.endswith('shortcut'):  # the shortcuts of StarGAN v2 have no bias
            place['bias'] = take(f'{entry.prefix}.bias')
    unexpected = sorted(set(state_dict) - used)
    if missing or unexpected:
        raise ValueError(f'the weights do not fit: missing keys {missing}, unexpected keys {unexpected}')
    return params
