"""A second game, played on the features of a network trained on ImageNet: an option of the unpaired methods.

A discriminator of pixels has to learn from the few images at hand what matters in a picture. One that sees the frozen
features of such a network knows it from the start, and drives the generator to the target style in a fraction of the
images (Sauer et al. 2021, "Projected GANs converge faster"; there in place of the discriminator of pixels). The paper's
choice is an EfficientNet-Lite, which costs far less than VGG16; of the evaluation only what becomes of an image's class
is measured by it.

The same features can tie outputs to the images that they are made of: to the target image by their moments, wherever
it has them, and to the source by a contrast of places, whatever colours are there.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gan_transfer import losses, random
from gan_transfer.methods import patches
from gan_transfer.methods.contract import Images, Method, Network, Networks, NetworkSettings, Scalars
from gan_transfer.networks import efficientnet
from gan_transfer.networks.feature_discriminator import FeatureDiscriminator
from gan_transfer.networks.imagenet import NETWORKS
from gan_transfer.networks.normalization import normalize_instances

# Network -> the layers that are judged: texture to parts. Deeper ones tell what an image shows, which is to stay; of
# EfficientNet all four sizes, as the paper has it.
LAYERS = {
    'alexnet': ('relu_1', 'relu_2', 'relu_3'),
    'efficientnet_lite0': ('stride_4', 'stride_8', 'stride_16', 'stride_32'),
    'vgg16': ('relu_1_2', 'relu_2_2', 'relu_3_3', 'relu_4_3'),
}
# Of a network's layers: all but the deepest have their moments matched; strokes and parts, not colours, are contrasted.
MATCHED, CONTRASTED = slice(None, -1), slice(1, 3)
PLACES, TEMPERATURE = 256, 0.1  # places of each map at most, of which a contrast tells one from the others
SMALLEST = {'alexnet': 32, 'efficientnet_lite0': 4, 'vgg16': 8}  # px
SMALLEST_CONTRASTED = {'alexnet': 47, 'efficientnet_lite0': 9, 'vgg16': 8}  # px: two places to tell apart
Maps = dict[str, Float[Array, 'b _ _ _']]
FEATURES = 'features'  # the frozen network's name among a method's


@dataclasses.dataclass(frozen=True)
class FeatureGame:
    """The second game of a method, and what else its losses take from the frozen network; without one, nothing.

    Attributes:
      network: the frozen network, one of `LAYERS`; '' for no such game.
      adversarial: the kind of loss, one of `losses.ADVERSARIAL` but 'wasserstein': no penalty bounds these judges.
      weight: of the generator's adversarial term.
      moments_weight: of the distance between output and target image in what `losses.moment_matching` compares, by
        the layers that are judged but for the deepest.
      contrast_weight: of the contrast between output and source (`contrast`).
    """

    network: str
    adversarial: str
    weight: float = 1.0
    moments_weight: float = 0.0
    contrast_weight: float = 0.0

    def check(self, image_size: int) -> None:
        """Raises ValueError, with the choices, for another network than '' (no such game) and those of `LAYERS`.

        And for images too small for a network's features to have a place, and terms that need features without any.
        """
        name, choices = self.network, ', '.join(LAYERS)
        if name and name not in LAYERS:
            raise ValueError(f'unknown feature_network {name!r}; choose one of {choices}, or none')
        smallest, why = SMALLEST.get(name, 0), ''
        if self.contrast_weight and SMALLEST_CONTRASTED.get(name, 0) > smallest:
            smallest, why = SMALLEST_CONTRASTED[name], f' with contrast_weight={self.contrast_weight}'
        if name and self.adversarial == 'wasserstein':
            raise ValueError(
                f"adversarial is 'wasserstein' and feature_network {name!r}: nothing bounds a critic of features; "
                'choose another loss, or no feature_network'
            )
        if image_size < smallest:
            raise ValueError(
                f'image_size is {image_size}; feature_network={name!r}{why} takes {smallest} and more'
            )
        for term in ('moments_weight', 'contrast_weight'):
            if getattr(self, term) and not name:
                raise ValueError(
                    f'{term} is {getattr(self, term)}, and there is no feature_network to compare by: choose one of '
                    f'{choices}, or set {term} to 0'
                )

    def networks(
        self, settings: NetworkSettings, discriminators: tuple[str, ...], domains: int = 1
    ) -> dict[str, Network]:
        """Returns the frozen network and discriminators of its features; nothing without a game.

        With several `domains` a discriminator has a logit for each. The discriminators compute in the settings' type;
        the frozen network always in float32, which its weights were trained in.
        """
        if not self.network:
            return {}
        image = jax.ShapeDtypeStruct((1, settings.image_size, settings.image_size, 3), jnp.float32)
        module = frozen_network(self.network, settings.image_size)
        (_, features), _ = jax.eval_shape(module.init_with_output, jax.random.key(0), image)
        inputs = tuple(
            jax.ShapeDtypeStruct(features[layer].shape, jnp.float32) for layer in LAYERS[self.network]
        )
        if domains > 1:
            inputs = (jax.ShapeDtypeStruct((1,), jnp.int32), *inputs)
        judge = FeatureDiscriminator(domains=domains, dtype=settings.dtype)
        frozen = Network('discriminator', module, (image,), pretrained=self.network)
        return {FEATURES: frozen} | {each: Network('discriminator', judge, inputs) for each in discriminators}

    def discriminator_terms(
        self,
        networks: Networks,
        discriminator: str,
        real: Images,
        fake: Images,
        domains: tuple[Array | None, Array | None] = (None, None),
    ) -> tuple[Float[Array, ''], Scalars]:
        """Returns what the named discriminator of features minimizes, and the terms to log; 0 without a game.

        Args:
          networks: all of the method's.
          discriminator: the judge's name among them.
          real: images of the data set, as the judge is shown them.
          fake: generated images, likewise.
          domains: of real and fake images, where there are several.
        """
        if not self.network:
            return jnp.zeros(()), {}
        logits = {
            kind: self._judge(networks, discriminator, self._features(networks, images), domain)
            for kind, images, domain in zip(('real', 'fake'), (real, fake), domains, strict=True)
        }
        terms = {
            'feature_real': _over_layers(
                functools.partial(losses.discriminator_real, self.adversarial), logits['real']
            ),
            'feature_fake': _over_layers(
                functools.partial(losses.discriminator_fake, self.adversarial), logits['fake']
            ),
        }
        signs = {
            f'feature_{kind}_sign': _over_layers(
                functools.partial(losses.side, self.adversarial), logits[kind]
            )
            for kind in logits
        }
        return sum(terms.values()), {**terms, **signs}

    def generator_terms(
        self,
        networks: Networks,
        discriminator: str,
        images: Images,
        *,
        shown: Images,
        sources: Images,
        key: Key[Array, ''],
        domain: Int[Array, 'b'] | None = None,
        targets: Images | None = None,
    ) -> tuple[Float[Array, ''], Scalars]:
        """Returns what the images' generator minimizes by its weights, and the terms to log; 0 without a game.

        Args:
          networks: all of the method's.
          discriminator: the name of the features' judge among them.
          images: generated ones.
          shown: the same as the judge is shown them.
          sources: what they were made from, to be kept where it is.
          key: of the places that are compared with the sources.
          domain: the images', where there are several.
          targets: in whose style they are to be; or None.
        """
        if not self.network:
            return jnp.zeros(()), {}
        judged = self._features(networks, shown)
        logits = self._judge(networks, discriminator, judged, domain)
        adversarial = functools.partial(losses.generator_adversarial, self.adversarial)
        terms = {'feature_adversarial': _over_layers(adversarial, logits)}
        loss = self.weight * terms['feature_adversarial']
        matched = targets is not None and self.moments_weight
        if not matched and not self.contrast_weight:
            return loss, terms
        features = judged if shown is images else self._features(networks, images)

        def compared(layers: slice, others: Images) -> tuple[Maps, Maps]:
            names, theirs = LAYERS[self.network][layers], self._features(networks, others)
            return {name: features[name] for name in names}, {name: theirs[name] for name in names}

        if matched:
            terms['moments'] = losses.moment_matching(*compared(MATCHED, targets))
            loss += self.moments_weight * terms['moments']
        if self.contrast_weight:
            terms['contrast'] = contrast(*compared(CONTRASTED, sources), key)
            loss += self.contrast_weight * terms['contrast']
        return loss, terms

    def _features(self, networks: Networks, images: Images) -> Maps:
        """Returns what the frozen network sees in images, in the layers that are judged."""
        features = networks[FEATURES](images)[1]
        return {layer: features[layer] for layer in LAYERS[self.network]}

    def _judge(
        self, networks: Networks, discriminator: str, features: Maps, domain: Array | None
    ) -> tuple[Float[Array, 'b _ _ 1'], ...]:
        """Returns a discriminator's logits of features, layer by layer."""
        inputs = features.values()
        return networks[discriminator](*inputs if domain is None else (domain, *inputs))[0]


@dataclasses.dataclass(frozen=True)
class FeatureMethod(Method):
    """Base of the methods that can play the second game.

    Attributes:
      feature_network, feature_weight: a second game on the features of a frozen network, and the weight of its
        adversarial term; none by default, as in the papers; the networks' names are in `LAYERS`.
      contrast_weight: weight of the contrast between output and source in that network's features (`contrast`), which
        keeps lines where they are.
    """

    feature_network: str = ''
    feature_weight: float = 1.0
    contrast_weight: float = 0.0

    @property
    def feature_game(self) -> FeatureGame:
        """The second game as the hyper-parameters have it."""
        return FeatureGame(
            self.feature_network, self.adversarial, self.feature_weight, contrast_weight=self.contrast_weight
        )

    def check(self, image_size: int, domains: int) -> None:
        super().check(image_size, domains)
        self.feature_game.check(image_size)


def frozen_network(name: str, image_size: int) -> nn.Module:
    """Returns the frozen network. EfficientNet, which begins with a stride of 2, sees small images twice as large."""
    if name == 'efficientnet_lite0':
        return efficientnet.EfficientNetLite0(size=min(2 * image_size, efficientnet.SIZE))
    return NETWORKS[name]()


def contrast(outputs: Maps, sources: Maps, key: Key[Array, '']) -> Float[Array, '']:
    """Returns PatchNCE in features that nobody trains: how badly places of an output are told apart by the source.

    Each of `PLACES` random places of an output, all where there are fewer, must be likest, by the cosine, to its own
    place of the source; the mean over layers. Features are first normalized over the places of their image, so that
    what all places have in common, its colours foremost, counts for nothing. CUT trains a projection for this (Park et
    al. 2020, equation 3); a frozen network holds lines in their place from the first step on, as Zheng et al. (2021,
    "The spatially-correlative loss") found for self-similarities of VGG16's features.
    """
    per_layer = []
    for layer, feature in outputs.items():
        places = patches.random_places(random.named(key, layer), feature.shape[1] * feature.shape[2], PLACES)
        queries, keys = (_unit(each, places) for each in (feature, sources[layer]))
        per_layer.append(losses.patch_nce(queries, keys, TEMPERATURE).mean())
    return sum(per_layer) / len(per_layer)


def _unit(features: Float[Array, 'b h w c'], places: Int[Array, 'n']) -> Float[Array, 'b n c']:
    """Returns unit vectors of some places' features, normalized over all places; in float32."""
    chosen = patches.at_places(normalize_instances(features.astype(jnp.float32), 1e-4), places)
    return chosen * jax.lax.rsqrt(jnp.square(chosen).sum(-1, keepdims=True) + 1e-6)


def _over_layers(loss: Callable[[Array], Array], logits: tuple[Array, ...]) -> Float[Array, '']:
    """Returns the mean over layers, which count the same each: parts have far fewer places than textures."""
    return sum(loss(x) for x in logits) / len(logits)
