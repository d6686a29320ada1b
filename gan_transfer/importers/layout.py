"""How single PyTorch tensors become ours, and the accounting of every key of a state_dict.

A layout is a list of `Entry`: a prefix of the file's keys, the place in our parameters, and the kind of layer.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict

StateDict = Mapping[str, np.ndarray]
# Options of our generators that no published one has, and of which the shapes of arrays do not tell.
OURS = {'residual': False, 'clip': False, 'skips': False}


class Entry(NamedTuple):
    """One layer: `prefix` in the file (without `.weight`), `path` in our parameters, its kind, and if it has a bias.

    A kind of 'domain_linear' is one linear layer per domain in the file, where `prefix` has '{domain}' in it, and a
    single stacked layer here.
    """

    prefix: str
    path: str
    kind: str
    bias: bool = True


def _convolution(weight: np.ndarray) -> np.ndarray:
    return weight.transpose(2, 3, 1, 0)  # OIHW to HWIO


def _transposed(weight: np.ndarray) -> np.ndarray:
    return weight.transpose(2, 3, 0, 1)  # IOHW to HWIO


def _linear(weight: np.ndarray) -> np.ndarray:
    return weight.reshape(weight.shape[:2]).T  # also a 1x1 convolution on a 1x1 map


def _same(weight: np.ndarray) -> np.ndarray:
    return weight


# kind -> (our name of the weight, how it is laid out here, its possible numbers of dimensions)
_KINDS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], tuple[int, ...]]] = {
    'convolution': ('kernel', _convolution, (4,)),
    'transposed': ('kernel', _transposed, (4,)),
    'linear': ('kernel', _linear, (2, 4)),
    'domain_linear': ('kernel', _linear, (2, 4)),
    'norm': ('scale', _same, (1,)),
}
PREFIXES = ('module.', '_orig_mod.')  # of networks on several devices, and of compiled ones
STATISTICS = ('.running_mean', '.running_var', '.num_batches_tracked')
# A constant of the file -> its value for each channel.
_BLUR_DOWN = np.outer([1, 2, 1], [1, 2, 1]) / 16
_BLUR_UP = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
_HIGH_PASS = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
HIGH_PASS = 'hpf.filter'  # StarGAN v2's, divided by its weight


def without_prefixes(state_dict: StateDict) -> dict[str, np.ndarray]:
    """Returns the arrays under their bare names, without what wrappers of the network put before every one."""
    names = dict(state_dict)
    while names and any(all(key.startswith(prefix) for key in names) for prefix in PREFIXES):
        names = {key.partition('.')[2]: value for key, value in names.items()}
    return names


def without_constants(state_dict: StateDict) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns the arrays that are learnt, and a line for each kind of the others.

    Running statistics are of no use to us: instance norms have none, and batch norms take those of the images at hand.
    Blurring filters are constants, and are compared with ours.

    Raises:
      ValueError: for a filter that differs.
    """
    kept, statistics, filters = {}, 0, 0
    for key, value in state_dict.items():
        if key.endswith(STATISTICS):
            statistics += 1
        elif key.endswith(('.filt', HIGH_PASS)):
            filters += 1
            known = (_BLUR_DOWN, _BLUR_UP)
            if key == HIGH_PASS:
                kept[key] = value
                known = (_HIGH_PASS / high_pass_weight(kept),)
            if not any(
                value.shape[-2:] == k.shape and np.allclose(np.asarray(value, np.float32), k, atol=1e-4)
                for k in known
            ):
                raise ValueError(
                    f'{key} of shape {list(value.shape)} is another filter than the published one'
                )
        else:
            kept[key] = value
    lines = []
    if statistics:
        lines.append(f'{statistics} running statistics (the statistics of the images at hand are used)')
    if filters:
        lines.append(f'{filters} constant filters (equal to ours)')
    return kept, lines


def high_pass_weight(state_dict: StateDict) -> float:
    """Returns what StarGAN v2's high-pass filter is divided by; 1 where there is none."""
    middle = np.asarray(state_dict.get(HIGH_PASS, _HIGH_PASS), np.float64).reshape(-1)
    # Of another filter nothing, which does not equal it then.
    return float(8 / middle[4]) if len(middle) == 9 and middle[4] > 0 else 1.0


def size(state_dict: StateDict, key: str, axis: int) -> int:
    """Returns the size of an array's axis.

    Raises:
      ValueError: where the array has no such axis.
    """
    shape = state_dict[key].shape
    if axis >= len(shape):
        raise ValueError(f'{key} has the shape {list(shape)}, of which no weight can be')
    return shape[axis]


def some(state_dict: StateDict) -> str:
    """Returns a few keys, to be shown."""
    return ', '.join(map(shown, list(state_dict)[:4])) or 'none'


def shown(text: Any) -> str:
    """Returns a text of a file's, such as a key, as it may stand in an error: short, and in one line."""
    return repr(str(text)[:100])[1:-1]


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


def load(
    entries: Iterable[Entry], state_dict: StateDict, expected: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns our parameters.

    Args:
      entries: the layers.
      state_dict: the file's arrays by key.
      expected: a tree of our parameters' shapes, to compare with.

    Raises:
      ValueError: with the keys that are missing from the file, left over in it, or of another shape.
    """
    params: dict[str, Any] = {}
    used, missing, misshapen = set(), [], []
    ours = flatten_dict(expected, sep='/') if expected is not None else {}
    domains = count(state_dict, 'unshared.{}.weight') or count(state_dict, 'unshared.{}.0.weight')

    def take(
        key: str, arrange: Callable[[np.ndarray], np.ndarray], dimensions: tuple[int, ...]
    ) -> np.ndarray | None:
        used.add(key)
        if key not in state_dict:
            missing.append(key)
            return None
        if state_dict[key].ndim not in dimensions:
            misshapen.append(f'{key} {list(state_dict[key].shape)}')
            return None
        return arrange(np.asarray(state_dict[key], np.float32))

    for entry in entries:
        name, arrange, dimensions = _KINDS[entry.kind]
        of_domains = entry.kind == 'domain_linear'
        prefixes = [entry.prefix.format(domain=d) for d in range(domains)] if of_domains else [entry.prefix]
        leaves = {name: [take(f'{prefix}.weight', arrange, dimensions) for prefix in prefixes]}
        if entry.bias:
            leaves['bias'] = [take(f'{prefix}.bias', _same, (1,)) for prefix in prefixes]
        there = branch(params, entry.path)
        for leaf, values in leaves.items():
            wanted = ours.get(f'{entry.path}/{leaf}')
            if wanted is not None:
                if of_domains and len(prefixes) != wanted.shape[0]:
                    misshapen.append(f'{entry.prefix}: {len(prefixes)} domains in place of {wanted.shape[0]}')
                shape = wanted.shape[1:] if of_domains else wanted.shape
                misshapen += [
                    f'{prefix}: our {leaf} {list(value.shape)} in place of {list(shape)}'
                    for prefix, value in zip(prefixes, values, strict=True)
                    if value is not None and value.shape != shape
                ]
            there[leaf] = _stack(values) if of_domains else values[0]
    unexpected = sorted(set(state_dict) - used - {HIGH_PASS})
    if missing or unexpected or misshapen:
        raise ValueError(
            f'the weights do not fit: missing keys {missing}, unexpected keys {unexpected}, misshapen {misshapen}'
        )
    differing = sorted(flatten_dict(params, sep='/').keys() ^ ours.keys()) if ours else ()
    if differing:
        raise ValueError(f'the weights do not fit: the file or our network has no {", ".join(differing[:4])}')
    return params


def branch(tree: Any, path: str) -> Any:
    """Returns the branch of nested dictionaries at `path`, made where there is none."""
    for part in path.split('/'):
        tree = tree.setdefault(part, {})
    return tree


def _stack(values: list[np.ndarray | None]) -> np.ndarray | None:
    # What is missing or differs is an error already, or is one here where nothing is expected.
    shapes = {None if value is None else value.shape for value in values}
    return np.stack(values) if len(shapes) == 1 and None not in shapes else None
