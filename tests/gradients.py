"""A program: gradients of tiny methods on meshes of all devices, of one process or of several, against one device's.

    python -m tests.gradients METHODS LAYOUTS [COORDINATOR PROCESS_COUNT PROCESS_INDEX]

prints a line `METHOD DATAxFSDPxSPATIAL equal` for each; a difference is an error. `METHOD:features` plays the second
game too, and shows discriminators augmented images.
"""

import sys

import jax
import numpy as np

from gan_transfer import augment, sharding
from gan_transfer.methods import feature_game
from tests.tiny import SIZE, assert_close, gradients_of, make_experiment

BATCH_SIZE = 8
# With the first batch, a value of CycleGAN's lies so near to a kink of its loss that rounding decides on its side.
SEED = 1
FEATURES = {
    'feature_network': 'alexnet',
    'contrast_weight': 1.0,
    'discriminator_augmentation': tuple(augment.KINDS),
}
PLACES = 8  # fewer than the maps have, so that all devices must draw the same


def main(methods: str, layouts: str, coordinator: str = '', count: str = '1', index: str = '0') -> None:
    if coordinator:
        jax.distributed.initialize(coordinator, int(count), int(index), cluster_detection_method='deactivate')
    feature_game.PLACES = PLACES
    for name in methods.split(','):
        method, _, game = name.partition(':')
        size = 64 if game else SIZE  # where AlexNet's maps have places to draw from
        changes = {'batch_size': BATCH_SIZE, 'image_size': size, 'method': FEATURES if game else {}}
        options = {'batch_size': BATCH_SIZE, 'image_size': size, 'seed': SEED}
        alone = make_experiment(method, mesh=sharding.make_mesh(jax.local_devices()[:1]), **changes)
        expected, expected_scalars = gradients_of(alone, method, **options)
        for layout in layouts.split(','):
            sizes = dict(zip(sharding.AXES, map(int, layout.split('x')), strict=True))
            mesh = sharding.make_mesh(**sizes)
            experiment = make_experiment(method, mesh=mesh, **changes)
            check_parts(experiment.abstract_state, sizes['fsdp'])
            gradients, scalars = gradients_of(experiment, method, **options)
            assert_close(gradients, expected)
            for term, value in expected_scalars.items():
                np.testing.assert_allclose(scalars[term], value, rtol=1e-3, atol=1e-5, err_msg=term)
            print(name, layout, 'equal', flush=True)


def check_parts(state, parts):
    """Nearly all of the parameters, and what goes with them, are split into so many parts."""
    whole = split = 0
    for leaf in jax.tree.leaves((state.generator, state.discriminator, state.average)):
        whole += leaf.size
        split += np.prod(leaf.sharding.shard_shape(leaf.shape))
    assert split < 1.05 * whole / parts, (split, whole)


if __name__ == '__main__':
    main(*sys.argv[1:])
