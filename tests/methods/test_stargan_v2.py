"""What StarGAN v2's own switches do, and which of them go together."""

import jax.numpy as jnp
import pytest

from gan_transfer.methods import METHODS
from tests.tiny import phase_input


@pytest.mark.parametrize(
    ('options', 'size', 'message'),
    [
        ({'passes': ('latent', 'latent')}, 64, r"passes is \('latent', 'latent'\); .* each once"),
        (
            {'passes': ('latent',), 'matching_weight': 0.5},
            64,
            r"matching_weight is 0.5 and passes \('latent',\); .* or add 'reference'",
        ),
        (
            {'passes': ('latent',), 'moments_weight': 0.5, 'feature_network': 'vgg16'},
            64,
            r"moments_weight is 0.5 and passes \('latent',\); .* or add 'reference'",
        ),
        (
            {'moments_weight': 0.5},
            64,
            'moments_weight is 0.5, and there is no feature_network .* choose one of alexnet, .* or set moments_weight',
        ),
        (
            {'high_pass_weight': 1.0},
            16,
            r'high_pass_weight is 1.0; .* at 16 px there are 16, 8, 4: set it to 0',
        ),
        ({'high_pass_weight': 1.0, 'downsamplings': 1}, 512, 'at 512 px there are 512, 256: '),
        ({'downsamplings': 5}, 64, 'downsamplings is 5; at 64 px at most 4'),
        ({'discriminator_blocks': 6}, 64, 'discriminator_blocks is 6; at 64 px at most 5'),
        ({}, 0, 'image_size is 0; stargan_v2 takes powers of two from 16 on'),
        ({}, 48, 'image_size is 48; '),
    ],
)
def test_options_that_could_do_nothing_are_named(options, size, message):
    with pytest.raises(ValueError, match=message) as error:
        METHODS['stargan_v2'](**options).check(size, 2)
    assert '\n' not in str(error.value)


def test_what_goes_together_is_taken():
    for options, size in (
        ({'passes': ('reference', 'latent'), 'matching_weight': 0.5}, 16),
        ({'moments_weight': 0.5, 'feature_network': 'vgg16'}, 16),
        ({'high_pass_weight': 1.0}, 32),
        ({'high_pass_weight': 1.0, 'downsamplings': 1}, 256),
    ):
        METHODS['stargan_v2'](**options).check(size, 2)
    with pytest.raises(ValueError, match='256 px there are 256: '):
        METHODS['stargan_v2'](high_pass_weight=1.0, downsamplings=1, bottleneck_blocks=0).check(256, 2)


def test_the_diversity_of_each_image_counts_up_to_the_limit():
    """Distances of 1 and 0.2 with the limit 0.5: their mean is above it."""

    def flat(*values):
        return jnp.ones((2, 4, 4, 3)) * jnp.array(values)[:, None, None, None]

    networks = {
        'generator': lambda x, style, *mask: (x + style[:, None, None], {}),
        'style_encoder': lambda x, domain: (x.mean((1, 2)), {}),
        'discriminator': lambda x, domain: (jnp.zeros(2), {}),
    }
    domain = jnp.zeros(2, jnp.int32)
    batch = {'source': flat(0.0, 0.0), 'target': flat(0.0, 0.0), 'target_2': flat(1.0, 0.2)}
    batch |= {'source_domain': domain, 'target_domain': domain}

    def loss(weight):
        options = {'passes': ('reference',), 'reference_trains': 'all', 'diversity_limit': 0.5}
        method = METHODS['stargan_v2'](diversity_weight=weight, **options)
        given = phase_input(networks, batch)
        forwards = {forward.name: forward.function(given) for forward in method.forwards()}
        return float(method.generator_loss('reference', given._replace(forwards=forwards)).loss)

    assert loss(0.0) - loss(1.0) == pytest.approx((0.5 + 0.2) / 2)
