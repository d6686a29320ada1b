"""A second game, played on the features of a network trained on ImageNet: an option of the unpaired methods.

A discriminator of pixels has to learn from the few images at hand what matters in a picture. One that sees the frozen
features of such a network knows it from the start, and drives the generator to the target style in a fraction of the
images (Sauer et al. 2021, "Projected GANs converge faster"; there in place of the discriminator of pixels). The paper's
choice is an EfficientNet-Lite, which costs far less than VGG16, and no distance of the evaluation is measured by it.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_transfer import losses
from gan_transfer.methods.contract import Images, Network, Networks, NetworkSettings, Scalars
from gan_transfer.networks import efficientnet
from gan_transfer.networks.feature_discriminator import FeatureDiscriminator
from gan_transfer.networks.imagenet import NETWORKS

# Network -> the layers that are judged: texture to parts. Deeper ones tell what an image shows, which is to stay; of
# EfficientNet all four sizes, as the paper has it.
LAYERS = {
    'alexnet': ('relu_1', 'relu_2', 'relu_3'),
    'efficientnet_lite0': ('stride_4', 'stride_8', 'stride_16', 'stride_32'),
    'vgg16': ('relu_1_2', 'relu_2_2', 'relu_3_3', 'relu_4_3'),
}
SMALLEST = {'alexnet': 32, 'efficientnet_lite0': 4, 'vgg16': 8}  # px
Maps = dict[str, Float[Array, 'b _ _ _']]
FEATURES = 'features'  # the frozen network's name among a method's


def check(name: str, image_size: int, moments_weight: float = 0.0) -> None:
    """Raises ValueError, with the choices, for another name than '' (no such game) and those of `LAYERS`.

    And for images too small for a network's features to have a place, and moments to compare without features.
    """
    if name and name not in LAYERS:
        raise ValueError(f'unknown feature_network {name!r}; choose one of {", ".join(LAYERS)}, or none')
    if name and image_size < SMALLEST[name]:
        raise ValueError(
            f'image_size is {image_size}; feature_network={name!r} takes {SMALLEST[name]} and more'
        )
    if moments_weight and not name:
        raise ValueError(
            f'moments_weight is {moments_weight}, and there is no feature_network to compare by: choose one of '
            f'{", ".join(LAYERS)}, or set moments_weight to 0'
        )


def networks(
    name: str, settings: NetworkSettings, discriminators: tuple[str, ...], domains: int = 1
) -> dict[str, Network]:
    """Returns the frozen network and discriminators of its features; nothing for the name ''.

    With several `domains` a discriminator has a logit for each. The discriminators compute in the settings' type; the
    frozen network always in float32, which its weights were trained in.
    """
    if not name:
        return {}
    image = jax.ShapeDtypeStruct((1, settings.image_size, settings.image_size, 3), jnp.float32)
    module = _network(name, settings.image_size)
    (_, features), _ = jax.eval_shape(module.init_with_output, jax.random.key(0), image)
    inputs = tuple(jax.ShapeDtypeStruct(features[layer].shape, jnp.float32) for layer in LAYERS[name])
    if domains > 1:
        inputs = (jax.ShapeDtypeStruct((1,), jnp.int32), *inputs)
    judge = FeatureDiscriminator(domains=domains, dtype=settings.dtype)
    frozen = Network('discriminator', module, (image,), pretrained=name)
    return {FEATURES: frozen} | {each: Network('discriminator', judge, inputs) for each in discriminators}


def _network(name: str, image_size: int) -> nn.Module:
    """Returns the frozen network. EfficientNet, which begins with a stride of 2, sees small images twice as large."""
    if name == 'efficientnet_lite0':
        return efficientnet.EfficientNetLite0(size=min(2 * image_size, efficientnet.SIZE))
    return NETWORKS[name]()


def add_discriminator_terms(
    loss: Float[Array, ''],
    terms: Scalars,
    name: str,
    adversarial: str,
    networks: Networks,
    discriminator: str,
    real: Images,
    fake: Images,
    domains: tuple[Array | None, Array | None] = (None, None),
    *,
    weight: float = 1.0,
) -> tuple[Float[Array, ''], Scalars]:
    """Returns a loss and its terms to log with those of a discriminator of features, whose loss counts by `weight`.

    As they are for the name '': no such game.
    """
    if not name:
        return loss, terms
    logits = {
        kind: _judge(networks, discriminator, _features(name, networks, images), domain)
        for kind, images, domain in zip(('real', 'fake'), (real, fake), domains, strict=True)
    }
    added = {
        'feature_real': _over_layers(
            functools.partial(losses.discriminator_real, adversarial), logits['real']
        ),
        'feature_fake': _over_layers(
            functools.partial(losses.discriminator_fake, adversarial), logits['fake']
        ),
    }
    signs = {
        f'feature_{kind}_sign': _over_layers(functools.partial(losses.side, adversarial), logits[kind])
        for kind in logits
    }
    return loss + weight * sum(added.values()), {**terms, **added, **signs}


def add_generator_terms(
    loss: Float[Array, ''],
    terms: Scalars,
    name: str,
    adversarial: str,
    networks: Networks,
    discriminator: str,
    images: Images,
    domain: Int[Array, 'b'] | None = None,
    *,
    weight: float,
    targets: Images | None = None,
    moments_weight: float = 0.0,
) -> tuple[Float[Array, ''], Scalars]:
    """Returns a loss and its terms to log with those of the images' generator, which count by their weights.

    With `targets` there is also the distance to these images in what `losses.moment_matching` compares, by the layers
    that are judged but for the deepest. As they are for the name '': no such game.

    Args:
      loss: what the generator minimizes so far.
      terms: by name.
      name: the frozen network.
      adversarial: the kind of loss.
      networks: all of the method's.
      discriminator: the name of the features' judge.
      images: generated ones.
      domain: theirs, where there are several.
      weight: of the adversarial term.
      targets: images in whose style the generated ones are to be.
      moments_weight: of the distance to these.
    """
    if not name:
        return loss, terms
    features = _features(name, networks, images)
    logits = _judge(networks, discriminator, features, domain)
    added = {
        'feature_adversarial': _over_layers(
            functools.partial(losses.generator_adversarial, adversarial), logits
        )
    }
    loss += weight * added['feature_adversarial']
    if targets is not None and moments_weight:
        compared = LAYERS[name][:-1]
        wanted = _features(name, networks, targets)
        added['moments'] = losses.moment_matching(
            *({layer: each[layer] for layer in compared} for each in (features, wanted))
        )
        loss += moments_weight * added['moments']
    return loss, {**terms, **added}


def _features(name: str, networks: Networks, images: Images) -> Maps:
    """Returns what the frozen network sees in images, in the layers that are judged."""
    features = networks[FEATURES](images)[1]
    return {layer: features[layer] for layer in LAYERS[name]}


def _judge(
    networks: Networks, discriminator: str, features: Maps, domain: Array | None
) -> tuple[Float[Array, 'b _ _ 1'], ...]:
    """Returns a discriminator's logits of features, layer by layer."""
    inputs = features.values()
    return networks[discriminator](*inputs if domain is None else (domain, *inputs))[0]


def _over_layers(loss: Callable[[Array], Array], logits: tuple[Array, ...]) -> Float[Array, '']:
    """Returns the mean over layers, which count the same each: parts have far fewer places than textures."""
    return sum(loss(x) for x in logits) / len(logits)
