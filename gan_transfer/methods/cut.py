"""CUT and FastCUT: one-way unpaired translation by contrast of patches (Park et al. 2020).

One generator from domain a (`source`) to domain b (`target`) and one discriminator. In place of a cycle, a patch of the
translation must be nearer, in the features of the generator's own encoder, to the source's patch at the same place
than to its other patches.

Differs from the reference: the patch projection exists from the start, not from the first batch; every image's loss is
its own, so that the number of devices changes nothing (the original's reshape by the global batch size breaks there);
source and target images are compared at the same places, where the original draws those of the latter anew;
the learning rate falls at every step, and the random crops do not end when it begins to.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gan_transfer import losses, random
from gan_transfer.methods import patches, unpaired
from gan_transfer.methods.contract import (
    Forward,
    Images,
    Network,
    Networks,
    NetworkSettings,
    Phase,
    PhaseInput,
    PhaseOutput,
)
from gan_transfer.methods.feature_game import FeatureMethod
from gan_transfer.networks import layers
from gan_transfer.networks.patch_projection import PatchProjection
from gan_transfer.networks.patchgan import PatchDiscriminator
from gan_transfer.networks.resnet import ResNetGenerator

Features = tuple[Float[Array, 'b _h _w _c'], ...]


@dataclasses.dataclass(frozen=True)
class Cut(FeatureMethod):
    """Hyper-parameters of CUT, the paper's values by default; FastCUT is nce_weight 10, no identity, mirror.

    Attributes:
      adversarial_weight: weight of the adversarial term.
      nce_weight: weight of PatchNCE, the mean over `nce_layers` (equation 4) ...
      identity: ... and over source and target images: the latter must come through the generator as they are.
      mirror: in half of the steps the generator sees mirrored images, and its features are mirrored back: features
        should not depend on left and right (FastCUT).
      nce_layers: names of the generator's features that are compared; see `networks/resnet.py`.
      patches: random places of each feature map; all where there are fewer.
      temperature: of PatchNCE.
      negatives_of_batch: a patch is told apart from those of all images of the batch, a microbatch where `accumulation`
        splits it, and not of its own alone (the original's option, for training on crops of one picture).
      projection_width: units of the patch projection.
      antialias: blur where generator and discriminator resample.
      residual, clip, skips: the generator adds to the image; the sum is clipped; its decoder sees the encoder's
        features of its size; see `networks/resnet.py`; not in the paper.
      generator_width, generator_blocks, discriminator_width, discriminator_depth: as CycleGAN's.
      initial_gain: gain of the initial weights (Xavier).
      feature_network, feature_weight, contrast_weight: a second game; see `feature_game.py`; not in the paper.
    """

    adversarial_weight: float = 1.0
    nce_weight: float = 1.0
    identity: bool = True
    mirror: bool = False
    nce_layers: tuple[str, ...] = ('padded', 'down_0', 'down_1', 'block_0', 'block_4')
    patches: int = 256
    temperature: float = 0.07
    negatives_of_batch: bool = False
    projection_width: int = 256
    antialias: bool = True
    residual: bool = False
    clip: bool = False
    skips: bool = False
    generator_width: int = 64
    generator_blocks: int = 9
    discriminator_width: int = 64
    discriminator_depth: int = 3
    initial_gain: float = 0.02

    positive: ClassVar[tuple[str, ...]] = (
        'regularize_every',
        'patches',
        'temperature',
        'projection_width',
        'generator_width',
        'generator_blocks',
        'discriminator_width',
    )
    batch_fields: ClassVar[tuple[str, ...]] = ('source', 'target')
    sampling: ClassVar[str] = 'two_domains'
    translate_fields: ClassVar[tuple[str, ...]] = ('source',)
    fully_convolutional: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 4
    most_domains: ClassVar[float] = 2

    def check(self, image_size: int, domains: int) -> None:
        super().check(image_size, domains)
        unpaired.check('cut', self, image_size)
        endings = ('', '_activated', *(('_blurred',) if self.antialias else ()))
        names = [
            *('padded', 'input', 'input_activated'),
            *(f'down_{i}{ending}' for i in range(2) for ending in endings),
            *(f'block_{i}' for i in range(self.generator_blocks)),
        ]
        for name in self.nce_layers:
            if name not in names:
                raise ValueError(f'nce_layers has {name!r}; choose from {", ".join(names)}')
        if self.patches < 2 and self.nce_weight and not self.negatives_of_batch:
            raise ValueError(
                f'patches is {self.patches}; contrast needs 2 or more to tell apart; or set nce_weight=0, or '
                'negatives_of_batch=True'
            )
        if not self.nce_layers:
            raise ValueError(f'nce_layers is empty; choose from {", ".join(names)}')

    def check_batch(self, size: int) -> None:
        if self.patches * size < 2 and self.nce_weight:
            raise ValueError(
                f'patches is {self.patches} and a batch (a microbatch of accumulation) {size}; contrast needs 2 or '
                'more to tell apart'
            )

    def directions(self, domains: int) -> tuple[tuple[int, int], ...]:
        return ((0, 1),)

    def networks(self, settings: NetworkSettings) -> dict[str, Network]:
        image = jax.ShapeDtypeStruct((1, settings.image_size, settings.image_size, 3), jnp.float32)
        shared = {'initializer': layers.xavier_normal(self.initial_gain), 'dtype': settings.dtype}
        generator = ResNetGenerator(
            width=self.generator_width,
            blocks=self.generator_blocks,
            antialias=self.antialias,
            residual=self.residual,
            clip=self.clip,
            skips=self.skips,
            rematerialize=settings.rematerialize,
            **shared,
        )
        discriminator = PatchDiscriminator(
            width=self.discriminator_width,
            depth=self.discriminator_depth,
            antialias=self.antialias,
            **shared,
        )
        _, features = jax.eval_shape(lambda x: generator.init_with_output(jax.random.key(0), x)[0], image)
        patches = tuple(
            jax.ShapeDtypeStruct((1, 1, features[name].shape[-1]), jnp.float32) for name in self.nce_layers
        )
        projection = PatchProjection(width=self.projection_width, **shared)
        return {
            'generator': Network('generator', generator, (image,), averaged=True),
            'patch_projection': Network('generator', projection, patches),
            'discriminator': Network('discriminator', discriminator, (image,)),
            **self.feature_game.networks(settings, self._feature_discriminators),
        }

    @property
    def _feature_discriminators(self) -> tuple[str, ...]:
        return ('feature_discriminator',) if self.feature_network else ()

    def forwards(self) -> tuple[Forward, ...]:
        return (Forward('translated', ('generator',), self._translated),)

    def phases(self) -> tuple[Phase, ...]:
        forwards, discriminators = ('translated',), ('discriminator', *self._feature_discriminators)
        return (
            Phase('discriminator', 'discriminator', discriminators, self.discriminator_loss, forwards),
            Phase('generator', 'generator', ('generator', 'patch_projection'), self.generator_loss, forwards),
        )

    def _real(self, batch: dict[str, Array]) -> Images:
        """What goes through the generator, at once: sources, and targets where they must come through unchanged."""
        return jnp.concatenate([batch['source'], batch['target']]) if self.identity else batch['source']

    def _translated(self, given: PhaseInput) -> dict[str, Any]:
        real = self._real(given.batch)
        if not self.mirror:
            images, features = given.networks['generator'](real)
            return {'images': images, 'features': self._select(features)}
        mirrored = jax.random.bernoulli(given.key)
        images, _ = given.networks['generator'](_mirror(mirrored, real))
        return {'images': images, 'mirrored': mirrored.astype(jnp.float32)}

    def _select(self, features: dict[str, Array]) -> Features:
        return tuple(features[name] for name in self.nce_layers)

    def discriminator_loss(self, given: PhaseInput) -> PhaseOutput:
        """The discriminator on targets and translations, its adversarial terms halved."""
        real, network = given.batch['target'], given.networks['discriminator']
        fake = given.forwards['translated']['images'][: len(real)]
        loss, terms = self.discriminator_terms(
            given, lambda x: network(self.shown(given, x))[0], real, fake, weight=0.5
        )
        added, more = self.feature_game.discriminator_terms(
            given.networks, 'feature_discriminator', self.shown(given, real), self.shown(given, fake)
        )
        return PhaseOutput(loss + 0.5 * added, {**terms, **more})

    def generator_loss(self, given: PhaseInput) -> PhaseOutput:
        """Equation 5: the adversarial term and PatchNCE, the latter on source and target images."""
        translated, count = given.forwards['translated'], len(given.batch['source'])
        images = translated['images']
        shown = self.shown(given, images[:count])
        logits = given.networks['discriminator'](shown)[0]
        adversarial = losses.generator_adversarial(self.adversarial, logits)
        per_image = self._patch_nce(given, images, translated)
        terms = {'adversarial': adversarial, 'nce': per_image[:count].mean()}
        nce = terms['nce']
        if self.identity:
            terms['nce_identity'] = per_image[count:].mean()
            nce = 0.5 * (terms['nce'] + terms['nce_identity'])
        loss = self.adversarial_weight * adversarial + self.nce_weight * nce
        source = given.batch['source']
        if self.mirror:
            source = _mirror(translated['mirrored'] > 0, source)
        added, more = self.feature_game.generator_terms(
            *(given.networks, 'feature_discriminator', images[:count]),
            shown=shown,
            sources=source,
            key=given.key,
        )
        return PhaseOutput(loss + added, {**terms, **more})

    def _patch_nce(self, given: PhaseInput, images: Images, translated: dict[str, Any]) -> Float[Array, 'b']:
        """Returns each image's PatchNCE between what came out of the generator and what went in."""
        generator, projection = given.networks['generator'], given.networks['patch_projection']
        queries = self._select(generator(images)[1])
        if self.mirror:
            keys = self._select(generator(self._real(given.batch))[1])
            queries = tuple(_mirror(translated['mirrored'] > 0, q) for q in queries)
        else:
            keys = translated['features']
        places = [
            patches.random_places(random.named(given.key, name), q.shape[1] * q.shape[2], self.patches)
            for name, q in zip(self.nce_layers, queries, strict=True)
        ]
        projected = [
            projection(
                *(patches.at_places(feature, place) for feature, place in zip(features, places, strict=True))
            )[0]
            for features in (queries, jax.lax.stop_gradient(keys))
        ]
        per_layer = [self._contrast(given, *pair) for pair in zip(*projected, strict=True)]
        return sum(per_layer) / len(per_layer)

    def _contrast(
        self, given: PhaseInput, queries: Float[Array, 'b n d'], keys: Float[Array, 'b n d']
    ) -> Float[Array, 'b']:
        """Returns each image's PatchNCE of one layer; sources are told apart from sources, targets from targets."""
        if not self.negatives_of_batch:
            return losses.patch_nce(queries, keys, self.temperature)
        halves = [jnp.split(x, 2) if self.identity else [x] for x in (queries, keys)]
        found = []
        for ours, theirs in zip(*halves, strict=True):
            everywhere = jax.lax.all_gather(theirs, given.axes, tiled=True) if given.axes else theirs
            candidates = everywhere.reshape(-1, everywhere.shape[-1])
            found.append(losses.patch_nce(ours, theirs, self.temperature, candidates))
        return jnp.concatenate(found)

    def translate(self, networks: Networks, batch: dict[str, Array], key: Key[Array, '']) -> Images:
        """Takes every source to the second domain."""
        return networks['generator'](batch['source'])[0]


def _mirror(mirrored: Array, images: Float[Array, 'b h w c']) -> Float[Array, 'b h w c']:
    """Returns images or features, mirrored left to right where the step is."""
    return jnp.where(mirrored, images[:, :, ::-1], images)
