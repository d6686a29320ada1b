"""pix2pix's networks from their published layout: a U-Net whose layers are nested, and a PatchGAN with batch norm."""

import numpy as np

from gan_transfer.importers import cyclegan
from gan_transfer.importers.layout import Entry, StateDict, indices, size

_NONE = np.zeros(())
NETWORKS = {'G': 'generator', 'D': 'discriminator'}


def options(state_dicts: dict[str, StateDict]) -> dict[str, int]:
    """Returns the hyper-parameters that the networks' weights, by our names, belong to."""
    found = {}
    if 'generator' in state_dicts:
        generator = state_dicts['generator']
        if 'model.model.0.weight' not in generator:
            raise ValueError(
                'no U-Net: model.model.0.weight is missing; ResNets come with --from=cyclegan or cut'
            )
        found |= {
            'generator_width': size(generator, 'model.model.0.weight', 0),
            'generator_depth': len(_levels(generator)),
        }
    if 'discriminator' in state_dicts:
        found |= cyclegan.discriminator_options(state_dicts['discriminator'])
    return found


def _levels(state_dict: StateDict) -> list[str]:
    """Returns the prefix of each level, from the outermost in: `model.model`, `model.model.1.model`, ..."""
    levels = ['model.model']
    while True:
        inner = f'{levels[-1]}.{1 if len(levels) == 1 else 3}.model'
        if not any(key.startswith(inner) for key in state_dict):
            return levels
        levels.append(inner)


def generator_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.unet.UNetGenerator`.

    Within a level: the outermost is convolution 0 and its transposed 3; one in the middle has activation 0, convolution
    1, norm 2, the next level 3, activation 4, transposed 5, norm 6; the innermost has neither norm 2 nor a next level.
    """
    levels, entries = _levels(state_dict), []
    last = len(levels) - 1
    for i, prefix in enumerate(levels):
        down, up = 0 if i == 0 else 1, 3 if i in (0, last) else 5
        entries.append(
            Entry(f'{prefix}.{down}', f'down_{i}/convolution', 'convolution', bias=False),
        )
        entries.append(Entry(f'{prefix}.{up}', f'up_{i}/convolution', 'transposed', bias=i == 0))
        if 0 < i < last:
            entries.append(Entry(f'{prefix}.2', f'down_{i}/norm', 'norm'))
        if i:
            entries.append(Entry(f'{prefix}.{up + 1}', f'up_{i}/norm', 'norm'))
    return entries


def discriminator_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.patchgan.PatchDiscriminator` with batch norm."""
    prefix = cyclegan.discriminator_prefix(state_dict)
    numbers = indices(state_dict, prefix)
    convolutions = [i for i in numbers if state_dict.get(f'{prefix}.{i}.weight', _NONE).ndim == 4]
    entries, last = [], len(convolutions) - 1
    for place, i in enumerate(convolutions):
        name = 'output' if place == last else f'layer_{place}'
        # Of single pixels the last convolution has none, as those before a norm.
        biased = place == 0 or (place == last and prefix == 'model')
        entries.append(Entry(f'{prefix}.{i}', name, 'convolution', bias=biased))
        if 0 < place < last:
            entries.append(Entry(f'{prefix}.{i + 1}', f'norm_{place}', 'norm'))
    return entries


ENTRIES = {'generator': generator_entries, 'discriminator': discriminator_entries}
