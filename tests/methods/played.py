"""Phases of methods with the game on features, played with functions in place of networks."""

import jax
import jax.numpy as jnp

from gan_transfer.methods import METHODS, feature_game
from tests import tiny


def places(name, size):
    """How many places each judged layer of a frozen network has, for images of one size."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    module = feature_game.frozen_network(name, size)
    (_, features), _ = jax.eval_shape(module.init_with_output, jax.random.key(0), image)
    shapes = [features[layer].shape for layer in feature_game.LAYERS[name]]
    return [height * width for _, height, width, _ in shapes]


class Stubs(dict):
    """Networks as functions: generators give their images back, discriminators 0, those of features 2."""

    def __missing__(self, name):
        if name == feature_game.FEATURES:
            return lambda x: (x, dict.fromkeys(feature_game.LAYERS['alexnet'], x))
        if name.startswith('feature_discriminator'):
            return lambda *inputs: ((jnp.full((2, 1, 1, 1), 2.0),), {})
        if name.startswith('discriminator'):
            return lambda x, *domain: (jnp.zeros(2), {})
        if name.startswith('generator'):
            return lambda x, *style: (x, {'padded': x})
        return {
            'patch_projection': lambda *maps: (maps, {}),
            'style_encoder': lambda x, domain: (jnp.zeros((2, 4)), {}),
            'mapping_network': lambda latent, domain: (jnp.zeros((2, 4)), {}),
        }[name]


# The loss of a discriminator phase, lsgan: 1 + 0 of pixels and 1 + 4 of features, by the method's weight.
PLAYED = [
    ('cut', {'nce_layers': ('padded',)}, 0.5 * (1 + 5)),
    ('cyclegan', {'pool_size': 0}, 2 * 0.5 * (1 + 5)),
    ('stargan_v2', {'passes': ('reference',), 'reference_trains': 'all', 'r1_weight': 0.0}, 1 + 5),
]


def played(name, options, side, feature_weight=1.0, networks=None, source=None, target=None, seed=0):
    """What a side's phase of a method with the game gives, at images of zeros of the domains 0 (source) and 1."""
    changes = {'adversarial': 'lsgan', 'feature_network': 'alexnet', 'feature_weight': feature_weight}
    method = METHODS[name](**options, **changes)
    images = jnp.zeros((2, 8, 8, 3))
    batch = dict.fromkeys(('source', 'target', 'target_2'), images)
    if source is not None:
        batch['source'] = source
    if target is not None:
        batch['target'] = target
    if 'latent' in options.get('passes', ()):
        batch |= dict.fromkeys(('latent', 'latent_2'), jnp.zeros((2, 4)))
    batch |= {'source_domain': jnp.zeros(2, jnp.int32), 'target_domain': jnp.ones(2, jnp.int32)}
    given = tiny.phase_input(Stubs() if networks is None else networks, batch, key=jax.random.key(seed))
    forwards = {forward.name: forward.function(given) for forward in method.forwards()}
    (phase,) = (phase for phase in method.phases() if phase.side == side)
    return phase.loss(given._replace(forwards=forwards))
