"""CycleGAN's networks from their published layout; the architecture is read from keys and shapes."""

from typing import Any

from gan_transfer.importers.layout import Entry, StateDict, indices, load

# What each file of the original is to us. Its D_A judges domain b.
NETWORKS = {
    'G_A': 'generator_a_to_b',
    'G_B': 'generator_b_to_a',
    'D_A': 'discriminator_b',
    'D_B': 'discriminator_a',
}


def generator_options(state_dict: StateDict) -> dict[str, int]:
    """Returns the hyper-parameters of the generator that these weights belong to."""
    blocks = [i for i in indices(state_dict, 'model') if f'model.{i}.conv_block.1.weight' in state_dict]
    return {'generator_width': state_dict['model.1.weight'].shape[0], 'generator_blocks': len(blocks)}


def discriminator_options(state_dict: StateDict) -> dict[str, int]:
    """Returns the hyper-parameters of the discriminator that these weights belong to."""
    layers = [i for i in indices(state_dict, 'model') if f'model.{i}.weight' in state_dict]
    return {
        'discriminator_width': state_dict['model.0.weight'].shape[0],
        'discriminator_depth': len(layers) - 2,
    }


def generator_params(state_dict: StateDict) -> dict[str, Any]:
    """Returns the parameters of `networks.resnet.ResNetGenerator`."""
    numbers = indices(state_dict, 'model')
    blocks = [i for i in numbers if f'model.{i}.conv_block.1.weight' in state_dict]
    plain = [i for i in numbers if i not in blocks]
    names = ('input', 'down_0', 'down_1', 'up_0', 'up_1', 'output')
    if len(plain) != len(names):
        raise ValueError(
            f'a ResNet generator has {len(names)} convolutions outside its blocks, this one {len(plain)}'
        )
    entries = [
        Entry(f'model.{i}', name, 'transposed' if name.startswith('up') else 'convolution')
        for i, name in zip(plain, names, strict=True)
    ]
    for number, i in enumerate(blocks):
        for j, part in enumerate((1, 5)):
            entries.append(
                Entry(f'model.{i}.conv_block.{part}', f'block_{number}/convolution_{j}', 'convolution')
            )
    return load(entries, state_dict)


def discriminator_params(state_dict: StateDict) -> dict[str, Any]:
    """Returns the parameters of `networks.patchgan.PatchDiscriminator`."""
    numbers = indices(state_dict, 'model')
    names = [f'layer_{i}' for i in range(len(numbers) - 1)] + ['output']
    return load(
        [Entry(f'model.{i}', name, 'convolution') for i, name in zip(numbers, names, strict=True)], state_dict
    )
