"""The networks at full width against the papers' own, through the importers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import losses, step
from gan_transfer.importers import cyclegan, stargan_v2
from gan_transfer.methods import METHODS
from gan_transfer.methods.contract import NetworkSettings
from gan_transfer.networks.patchgan import PatchDiscriminator
from gan_transfer.networks.resnet import ResNetGenerator
from tests.reference import cases


def _outputs(module, params, *inputs):
    return jax.jit(lambda p, *x: module.apply({'params': p}, *x)[0])(params, *inputs)


@pytest.mark.parametrize('name', ['cyclegan_generator_resnet6', 'cyclegan_generator_resnet9'])
def test_resnet_generator(name):
    case = cases.load(name)
    weights = case.weights()
    options = cyclegan.generator_options(weights)
    module = ResNetGenerator(width=options['generator_width'], blocks=options['generator_blocks'])
    outputs = _outputs(module, cyclegan.generator_params(weights), case.image('x'))
    np.testing.assert_allclose(outputs, case.image('y'), atol=1e-4)


def test_patch_discriminator():
    case = cases.load('cyclegan_discriminator_patchgan')
    weights = case.weights()
    options = cyclegan.discriminator_options(weights)
    module = PatchDiscriminator(width=options['discriminator_width'], depth=options['discriminator_depth'])
    outputs = _outputs(module, cyclegan.discriminator_params(weights), case.image('x'))
    np.testing.assert_allclose(outputs, case.image('y'), atol=1e-4)


def _stargan_v2(case):
    """Returns the method's networks and their imported parameters."""
    weights = {name: case.weights(name) for name in stargan_v2.PARAMS}
    options = stargan_v2.options(weights)
    settings = NetworkSettings(
        options.pop('image_size'), options.pop('domains'), jnp.float32, rematerialize=False
    )
    networks = METHODS['stargan_v2'](**options).networks(settings)
    return networks, {name: load(weights[name]) for name, load in stargan_v2.PARAMS.items()}


def test_stargan_v2_networks():
    case = cases.load('stargan_v2_networks')
    networks, params = _stargan_v2(case)
    domain = jnp.asarray(case.arrays['domain'], jnp.int32)

    @jax.jit
    def run(params):
        view = step.network_view(networks, params)
        latent, x, reference = map(
            jnp.asarray, (case.arrays['latent'], case.image('x'), case.image('reference'))
        )
        style = view['style_encoder'](reference, domain)[0]
        return {
            'style_from_latent': view['mapping_network'](latent, domain)[0],
            'style_from_reference': style,
            'translated': jnp.moveaxis(view['generator'](x, style)[0], -1, 1),
            'logits': view['discriminator'](x, domain)[0],
        }

    for name, value in run(params).items():
        np.testing.assert_allclose(value, case.arrays[name], atol=2e-4, err_msg=name)


def test_stargan_v2_r1_and_its_gradients():
    case = cases.load('stargan_v2_r1')
    weights = case.weights('discriminator')
    networks, _ = _stargan_v2(cases.load('stargan_v2_networks'))
    module, domain = networks['discriminator'].module, jnp.asarray(case.arrays['domain'], jnp.int32)

    @jax.jit
    @jax.value_and_grad
    def penalty(params):
        return losses.zero_centred_penalty(
            lambda x: module.apply({'params': params}, x, domain)[0], jnp.asarray(case.image('x'))
        )

    value, gradient = penalty(stargan_v2.discriminator_params(weights))
    np.testing.assert_allclose(value, case.arrays['r1'], rtol=1e-4)
    norms = np.sort([float(jnp.linalg.norm(g)) for g in jax.tree.leaves(gradient)])
    np.testing.assert_allclose(norms, np.sort(case.arrays['gradient_norm']), rtol=1e-3, atol=1e-6)


def test_importer_lists_keys_that_do_not_fit():
    weights = cases.load('cyclegan_discriminator_patchgan').weights()
    weights['stray.bias'] = weights.pop('model.2.bias')
    with pytest.raises(
        ValueError, match=r"missing keys \['model.2.bias'\], unexpected keys \['stray.bias'\]"
    ):
        cyclegan.discriminator_params(weights)
