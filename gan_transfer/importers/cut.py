"""CUT's and FastCUT's networks from their published layout; the ResNet's and the PatchGAN's are CycleGAN's."""

from typing import Any

from gan_transfer.importers import cyclegan
from gan_transfer.importers.layout import Entry, StateDict, indices, size, some

NETWORKS = {'G': 'generator', 'F': 'patch_projection', 'D': 'discriminator'}


def options(state_dicts: dict[str, StateDict]) -> dict[str, Any]:
    """Returns the hyper-parameters that the networks' weights, by our names, belong to."""
    shared = {name: state_dict for name, state_dict in state_dicts.items() if name != 'patch_projection'}
    found = cyclegan.options(shared)
    if found.get('generator_blocks', 5) < 5:
        # In place of the fifth block the original compares a map of the decoder, which has no name here.
        found['nce_layers'] = ('padded', 'down_0', 'down_1', 'block_0')
    if 'patch_projection' in state_dicts:
        found['projection_width'] = _projection_width(state_dicts['patch_projection'])
    return found


def _projection_width(state_dict: StateDict) -> int:
    if 'mlp_0.0.weight' not in state_dict:
        raise ValueError(f'no patch projection: mlp_0.0.weight is missing, there are {some(state_dict)}')
    return size(state_dict, 'mlp_0.0.weight', 0)


def projection_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.patch_projection.PatchProjection`."""
    count = len({key.split('.')[0] for key in state_dict})
    return [
        Entry(f'mlp_{i}.{number}', f'layer_{i}_{j}', 'linear')
        for i in range(count)
        for j, number in enumerate(indices(state_dict, f'mlp_{i}'))
    ]


ENTRIES = {
    'generator': cyclegan.generator_entries,
    'patch_projection': projection_entries,
    'discriminator': cyclegan.discriminator_entries,
}
