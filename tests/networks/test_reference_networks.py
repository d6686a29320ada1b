"""The networks at full width against the papers' own, through the importers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from gan_transfer import losses, sharding, step
from gan_transfer.importers import layout, stargan_v2
from gan_transfer.importers.files import FAMILIES
from gan_transfer.methods import METHODS
from gan_transfer.methods.contract import NetworkSettings
from gan_transfer.networks.patch_projection import PatchProjection
from tests.reference import cases

# Case -> the family of its layout, the network, and what is called beside the images.
NETWORKS = {
    'cyclegan_generator_resnet6': ('cyclegan', 'generator_a_to_b', ()),
    'cyclegan_generator_resnet9': ('cyclegan', 'generator_a_to_b', ()),
    'cyclegan_discriminator_patchgan': ('cyclegan', 'discriminator_a', ()),
    'cut_generator_resnet9': ('cut', 'generator', ()),
    'cut_discriminator_patchgan': ('cut', 'discriminator', ()),
    # Batch statistics are those of both images, on two devices.
    'pix2pix_generator_unet128': ('pix2pix', 'generator', (None, sharding.BATCH)),
    'pix2pix_discriminator_patchgan': ('pix2pix', 'discriminator', (sharding.BATCH,)),
}


def _params(family, network, weights):
    learnt, _ = layout.without_constants(layout.without_prefixes(weights))
    return layout.load(FAMILIES[family].ENTRIES[network](learnt), learnt)


def _network(family, network, weights, size):
    learnt, _ = layout.without_constants(weights)
    options = FAMILIES[family].options({network: learnt})
    settings = NetworkSettings(size, 2, jnp.float32, rematerialize=False)
    return METHODS[family](**options).networks(settings)[network].module


@pytest.mark.parametrize('name', NETWORKS)
def test_network_is_the_original_s(name):
    case = cases.load(name)
    family, network, more = NETWORKS[name]
    weights, images = case.weights(), jnp.asarray(case.image('x'))
    module = _network(family, network, weights, images.shape[1])
    mesh, split = sharding.make_mesh(jax.devices()[: len(images)]), PartitionSpec(sharding.BATCH)
    mapped = jax.shard_map(
        lambda params, x: module.apply({'params': params}, x, *more),
        mesh=mesh,
        in_specs=(PartitionSpec(), split),
        out_specs=split,
        check_vma=False,
    )
    images = jax.device_put(images, sharding.batch_sharding(mesh))
    outputs, features = jax.jit(mapped)(_params(family, network, weights), images)
    np.testing.assert_allclose(outputs, case.image('y'), atol=1e-4)
    for number, feature in ((0, 'padded'), (4, 'down_0'), (8, 'down_1'), (12, 'block_0'), (16, 'block_4')):
        if f'feature_mean_{number}' in case.arrays:
            means = features[feature].mean((1, 2))
            np.testing.assert_allclose(means, case.arrays[f'feature_mean_{number}'], atol=1e-4)


def test_patch_nce():
    case = cases.load('cut_patch_nce')
    params = _params('cut', 'patch_projection', case.weights())

    def project(name):
        maps = [case.image(f'{name}_features_{i}') for i in range(2)]
        patches = [jnp.asarray(x.reshape(2, -1, x.shape[-1])) for x in maps]
        return PatchProjection().apply({'params': params}, *patches)[0]

    values = [losses.patch_nce(*pair).mean() for pair in zip(project('query'), project('key'), strict=True)]
    np.testing.assert_allclose(values, case.arrays['loss'], rtol=1e-4)


def _stargan_v2(case):
    """Returns the method's networks and their imported parameters."""
    weights = {name: case.weights(name) for name in stargan_v2.ENTRIES}
    options = stargan_v2.options(weights)
    settings = NetworkSettings(
        options.pop('image_size'), options.pop('domains'), jnp.float32, rematerialize=False
    )
    networks = METHODS['stargan_v2'](**options).networks(settings)
    return networks, {name: _params('stargan_v2', name, weights[name]) for name in weights}


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

    value, gradient = penalty(_params('stargan_v2', 'discriminator', weights))
    np.testing.assert_allclose(value, case.arrays['r1'], rtol=1e-4)
    norms = np.sort([float(jnp.linalg.norm(g)) for g in jax.tree.leaves(gradient)])
    np.testing.assert_allclose(norms, np.sort(case.arrays['gradient_norm']), rtol=1e-3, atol=1e-6)
