"""CycleGAN's networks from their published layout; the architecture is read from keys and shapes."""

from typing import Any

from gan_transfer.importers.layout import OURS, Entry, StateDict, indices, size, some

# What each file of the original is to us. Its D_A judges domain b; the published generators are alone, and called G.
NETWORKS = {
    'G_A': 'generator_a_to_b',
    'G_B': 'generator_b_to_a',
    'D_A': 'discriminator_b',
    'D_B': 'discriminator_a',
    'G': 'generator_a_to_b',
}


def blocks(state_dict: StateDict) -> list[int]:
    """Returns the numbers of the generator's residual blocks."""
    return [i for i in indices(state_dict, 'model') if f'model.{i}.conv_block.1.weight' in state_dict]


def blurred(state_dict: StateDict) -> bool:
    """Whether the generator resamples by filters and plain convolutions, whose kernels have fewer outputs than inputs.

    Raises:
      ValueError: where it does so one way only, which ours cannot.
    """
    plain = [i for i in indices(state_dict, 'model') if f'model.{i}.weight' in state_dict]
    shape = state_dict[f'model.{plain[-2]}.weight'].shape if len(plain) > 1 else ()
    up = len(shape) == 4 and shape[0] < shape[1]
    down = len(plain) > 2 and plain[2] == 8  # 7 without a filter before it
    if up != down:
        one, other = ('doubles', 'halves') if up else ('halves', 'doubles')
        raise ValueError(f'this generator {one} by a filter and {other} without; ours does both or neither')
    return up


def discriminator_blurred(state_dict: StateDict) -> bool:
    """Whether a patch discriminator halves by a filter behind each convolution, which then is one layer further."""
    numbers = indices(state_dict, 'model')
    return len(numbers) > 1 and numbers[1] == 3


def generator_options(state_dict: StateDict) -> dict[str, int]:
    """Returns the hyper-parameters of the generator that these weights belong to."""
    if 'model.1.weight' not in state_dict:
        raise ValueError(f'no ResNet generator: model.1.weight is missing, there are {some(state_dict)}')
    return {
        'generator_width': size(state_dict, 'model.1.weight', 0),
        'generator_blocks': len(blocks(state_dict)),
    }


def discriminator_options(state_dict: StateDict) -> dict[str, int]:
    """Returns the hyper-parameters of the discriminator that these weights belong to."""
    prefix = discriminator_prefix(state_dict)
    if f'{prefix}.0.weight' not in state_dict:
        raise ValueError(f'no patch discriminator: model.0.weight is missing, there are {some(state_dict)}')
    layers = [i for i in indices(state_dict, prefix) if f'{prefix}.{i}.weight' in state_dict]
    convolutions = [i for i in layers if state_dict[f'{prefix}.{i}.weight'].ndim == 4]
    return {
        'discriminator_width': size(state_dict, f'{prefix}.0.weight', 0),
        'discriminator_depth': len(convolutions) - 2 if prefix == 'model' else 0,
    }


def discriminator_prefix(state_dict: StateDict) -> str:
    """Returns what keys begin with: 'net' those of a discriminator of single pixels, 'model' of all others."""
    return 'net' if 'net.0.weight' in state_dict else 'model'


def options(state_dicts: dict[str, StateDict]) -> dict[str, Any]:
    """Returns the hyper-parameters that the networks' weights, by our names, belong to.

    Raises:
      ValueError: for other networks, and where some resample by blurring, as those trained with CUT's code do, and
        others do not.
    """
    found, antialias = dict(OURS), {}
    for name, state_dict in state_dicts.items():
        generator = name.startswith('generator')
        found |= generator_options(state_dict) if generator else discriminator_options(state_dict)
        if generator or discriminator_prefix(state_dict) == 'model':  # single pixels are not resampled
            antialias[name] = blurred(state_dict) if generator else discriminator_blurred(state_dict)
            found['antialias'] = antialias[name]
    if len(set(antialias.values())) > 1:
        blurring = ', '.join(name for name, blurs in antialias.items() if blurs)
        plain = ', '.join(name for name, blurs in antialias.items() if not blurs)
        raise ValueError(
            f'all networks blur where they resample, or none does; here do {blurring}, and not {plain}'
        )
    return found


def generator_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.resnet.ResNetGenerator`."""
    numbers = indices(state_dict, 'model')
    plain = [i for i in numbers if i not in blocks(state_dict)]
    names = ('input', 'down_0', 'down_1', 'up_0', 'up_1', 'output')
    if len(plain) != len(names):
        raise ValueError(
            f'a ResNet generator has {len(names)} convolutions outside its blocks, this one {len(plain)}'
        )
    up = 'convolution' if blurred(state_dict) else 'transposed'
    entries = [
        Entry(f'model.{i}', name, up if name.startswith('up') else 'convolution')
        for i, name in zip(plain, names, strict=True)
    ]
    for number, i in enumerate(blocks(state_dict)):
        # The second convolution is number 5, or 6 behind a dropout.
        for j, part in enumerate(indices(state_dict, f'model.{i}.conv_block')):
            entries.append(
                Entry(f'model.{i}.conv_block.{part}', f'block_{number}/convolution_{j}', 'convolution')
            )
    return entries


def discriminator_entries(state_dict: StateDict) -> list[Entry]:
    """Returns the layers of `networks.patchgan.PatchDiscriminator`."""
    prefix = discriminator_prefix(state_dict)
    numbers = indices(state_dict, prefix)
    names = [f'layer_{i}' for i in range(len(numbers) - 1)] + ['output']
    return [Entry(f'{prefix}.{i}', name, 'convolution') for i, name in zip(numbers, names, strict=True)]


ENTRIES = {
    'generator_a_to_b': generator_entries,
    'generator_b_to_a': generator_entries,
    'discriminator_a': discriminator_entries,
    'discriminator_b': discriminator_entries,
}
