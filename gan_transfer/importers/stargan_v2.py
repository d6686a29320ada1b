"""StarGAN v2's networks from their published layout, those of faces (CelebA-HQ) and the others."""

import math
from typing import Any

from gan_transfer.importers.layout import OURS, Entry, StateDict, count, high_pass_weight, size, some

NETWORKS = {
    name: name for name in ('generator', 'mapping_network', 'style_encoder', 'discriminator')
}  # theirs and ours
NEEDED = {'generator', 'mapping_network', 'style_encoder'}  # they tell the architecture, and translate


def options(state_dicts: dict[str, StateDict]) -> dict[str, Any]:
    """Returns the hyper-parameters that the four networks' weights belong to, `image_size` and `domains` too.

    The blocks of the style encoder tell the image size: they halve it down to 4 pixels. A
    file of the generator of faces without its high-pass filter is taken for one of weight 1, as published.

    Raises:
      ValueError: where networks or keys are missing that tell the architecture; for images of less than 32 px, of which
        the original's generator does not halve any.
    """
    _check_needed(state_dicts)
    generator, mapping = state_dicts['generator'], state_dicts['mapping_network']
    for network, key in (
        ('generator', 'from_rgb.weight'),
        ('mapping_network', 'shared.0.weight'),
        ('mapping_network', 'unshared.0.6.weight'),
    ):
        if key not in state_dicts[network]:
            raise ValueError(
                f'no {network} of StarGAN v2: {key} is missing, there are {some(state_dicts[network])}'
            )
    encoder = count(generator, 'encode.{}.conv1.weight')
    image_size, faces = _image_size(state_dicts), _of_faces(state_dicts)
    downsamplings = int(math.log2(image_size)) - (3 if faces else 4)
    if downsamplings < 1:
        raise ValueError(f'the networks are of {image_size} px; ours halve images of 32 px or more')
    # Of all networks: the generator halves least often, and may end below the cap.
    widths = [
        size(state_dict, key, 0)
        for state_dict in state_dicts.values()
        for key in state_dict
        if key.endswith('conv2.weight') and not key.startswith('decode.')
    ]
    return {
        'image_size': image_size,
        'domains': count(mapping, 'unshared.{}.0.weight'),
        'width': size(generator, 'from_rgb.weight', 0),
        'max_width': max(widths),
        'downsamplings': downsamplings,
        'bottleneck_blocks': encoder - downsamplings,
        'latent_length': size(mapping, 'shared.0.weight', 1),
        'mapping_width': size(mapping, 'shared.0.weight', 0),
        'style_size': size(mapping, 'unshared.0.6.weight', 0),
        'high_pass_weight': high_pass_weight(generator) if faces else 0.0,
        # Options of ours that no published network has.
        **OURS,
        'pixel_norm': False,
        'style_encoder_width': 0,
        'discriminator_blocks': 0,
    }


def _image_size(state_dicts: dict[str, StateDict]) -> int:
    return 2 ** (_blocks(state_dicts['style_encoder'], 'shared') + 2)


def _of_faces(state_dicts: dict[str, StateDict]) -> bool:
    """Whether the encoder halves once more than others do at this size, beside its two blocks of the bottleneck."""
    halvings = count(state_dicts['generator'], 'encode.{}.conv1.weight') - 2
    return halvings == int(math.log2(_image_size(state_dicts))) - 3


def drop_unused(state_dicts: dict[str, StateDict]) -> tuple[dict[str, StateDict], list[str]]:
    """Returns the networks without what the generator of faces has but does not use, its decoder's shortcuts.

    And a line about it, if it is that generator.

    Raises:
      ValueError: where networks are missing that tell the architecture.
    """
    _check_needed(state_dicts)
    if not _of_faces(state_dicts):
        return state_dicts, []
    generator = state_dicts['generator']
    unused = [key for key in generator if key.startswith('decode.') and '.conv1x1.' in key]
    kept = {key: value for key, value in generator.items() if key not in unused}
    line = f'generator: ignored {len(unused)} shortcuts, which the generator of faces does not use'
    return {**state_dicts, 'generator': kept}, [line]


def _check_needed(state_dicts: dict[str, StateDict]) -> None:
    if not set(state_dicts) >= NEEDED:
        raise ValueError(
            f'networks are missing: there are {", ".join(state_dicts)}; {", ".join(sorted(NEEDED))} are needed'
        )


def _blocks(state_dict: StateDict, prefix: str) -> int:
    """Returns how many residual blocks follow `<prefix>.0`."""
    number = 1
    while f'{prefix}.{number}.conv1.weight' in state_dict:
        number += 1
    return number - 1


def generator_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.stargan_v2.Generator`."""
    entries = [
        Entry('from_rgb', 'from_rgb', 'convolution'),
        Entry('to_rgb.0', 'to_rgb_norm', 'norm'),
        Entry('to_rgb.2', 'to_rgb', 'convolution'),
    ]
    for i in range(count(state_dict, 'encode.{}.conv1.weight')):
        entries += _block(state_dict, f'encode.{i}', f'encode_{i}')
        entries += [Entry(f'encode.{i}.norm{j + 1}', f'encode_{i}/norm_{j}', 'norm') for j in range(2)]
    for i in range(count(state_dict, 'decode.{}.conv1.weight')):
        entries += _block(state_dict, f'decode.{i}', f'decode_{i}')
        entries += [
            Entry(f'decode.{i}.norm{j + 1}.fc', f'decode_{i}/norm_{j}/linear', 'linear') for j in range(2)
        ]
    return entries


def mapping_network_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.stargan_v2.MappingNetwork`."""
    entries = [Entry(f'shared.{2 * i}', f'shared_{i}', 'linear') for i in range(4)]
    entries += [Entry(f'unshared.{{domain}}.{2 * i}', f'domain_{i}', 'domain_linear') for i in range(4)]
    return entries


def style_encoder_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.stargan_v2.StyleEncoder`."""
    return [*_trunk(state_dict, 'shared'), Entry('unshared.{domain}', 'domain', 'domain_linear')]


def discriminator_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.stargan_v2.Discriminator`."""
    last = _blocks(state_dict, 'main') + 4
    return [*_trunk(state_dict, 'main'), Entry(f'main.{last}', 'domain', 'linear')]


def _trunk(state_dict: StateDict, prefix: str) -> list[Entry]:
    blocks = _blocks(state_dict, prefix)
    entries = [
        Entry(f'{prefix}.0', 'trunk/from_rgb', 'convolution'),
        Entry(f'{prefix}.{blocks + 2}', 'trunk/tap', 'convolution'),
    ]
    for i in range(blocks):
        entries += _block(state_dict, f'{prefix}.{i + 1}', f'trunk/block_{i}')
    return entries


def _block(state_dict: StateDict, prefix: str, path: str) -> list[Entry]:
    entries = [Entry(f'{prefix}.conv{j + 1}', f'{path}/convolution_{j}', 'convolution') for j in range(2)]
    if f'{prefix}.conv1x1.weight' in state_dict:
        entries.append(Entry(f'{prefix}.conv1x1', f'{path}/shortcut', 'convolution', bias=False))
    return entries


ENTRIES = {
    'generator': generator_entries,
    'mapping_network': mapping_network_entries,
    'style_encoder': style_encoder_entries,
    'discriminator': discriminator_entries,
}
