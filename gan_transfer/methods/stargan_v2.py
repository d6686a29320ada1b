"""StarGAN v2: translation among several domains, in the style of a target image or of a latent code (Choi et al. 2020).

One generator for all domains is steered by a style code, which the style encoder reads from a target image or the
mapping network makes from noise; one discriminator has a logit per domain. A step has a pass with styles from
latents and one with styles from target images, each with a discriminator and a generator phase.

Differs from the reference: averages start as copies of the initial weights (the original copies before its own
initialization); the diversity weight decays with the step and so survives a restart.
"""

import dataclasses
import functools
import math
import types
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gan_transfer import losses
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
from gan_transfer.methods.feature_game import FeatureGame, FeatureMethod
from gan_transfer.networks import stargan_v2

Batch = dict[str, Array]
PASSES = ('latent', 'reference')


@dataclasses.dataclass(frozen=True)
class StarGanV2(FeatureMethod):
    """Hyper-parameters of StarGAN v2, those of CelebA-HQ by default (AFHQ: diversity_weight 2).

    Attributes:
      style_weight: weight of the style reconstruction (equation 2).
      diversity_weight: weight of the distance between two outputs, which is maximized (equation 3) ...
      diversity_images: ... decaying linearly to 0 over so many images ...
      diversity_limit: ... and counted, for each image, up to so much; 0 counts all, as the original does. A high
        weight with a limit keeps short runs from collapsing to one look without driving outputs apart for ever.
      cycle_weight: weight of the L1 cycle reconstruction (equation 4).
      matching_weight: weight of the distance between output and target image in the discriminator's features
        (`losses.feature_matching`; of FUNIT, not of the paper). It ties colours to the target image's in short runs.
      passes: where styles come from in training; ('reference',) alone leaves the mapping network out.
      reference_trains: what the reference pass updates: the generator alone in the original, where the latent
        pass trains the other networks; 'generator' or 'all'.
      own_domain: whether the target domain may be the source's own, as in the original. The generator that changes
        nothing is right there, which keeps short runs near it, and from its images the discriminator learns no domain.
      latent_length, style_size: lengths of the codes.
      mapping_width: channels of the mapping network.
      width: channels at full size; 0 takes the original's 2^14 / image size.
      max_width: no layer behind the first is wider.
      downsamplings: halvings in the generator's encoder; 0 takes the original's log2(image size) - 4, of faces 1 more,
        but 1 at least.
      bottleneck_blocks: residual blocks at the smallest size, in the encoder and again in the decoder.
      residual, clip, pixel_norm, skips: the generator adds its output to the source, and starts near the identity;
        outputs are clipped to what can be saved; the decoder's norms take each place by itself, not each channel; the
        decoder sees the encoder's features, in one more block at each size, and draws edges where the source has them.
        The original has none of these; short runs learn far faster.
      high_pass_weight: above 0 the generator of faces (CelebA-HQ: 1): no shortcuts in the decoder, and detail of the
        source where `mask` in a batch to translate shows the landmarks. Training has no masks.
      style_encoder_width: channels of the style encoder at full size; 0 takes `width`.
      discriminator_blocks: 0 judges an image as a whole, as the original does; otherwise so many blocks, and a
        logit for each patch, from which small data and short runs learn texture faster.
      feature_network, feature_weight, contrast_weight: a second game; see `feature_game.py`; not in the paper.
      moments_weight: weight of the distance between output and target image in that network's features
        (`losses.moment_matching`; of AdaIN, not of the paper). It ties colours closer than `matching_weight`.
    """

    adversarial: str = 'non_saturating'
    r1_weight: float = 1.0
    style_weight: float = 1.0
    diversity_weight: float = 1.0
    diversity_images: int = 800_000
    diversity_limit: float = 0.0
    cycle_weight: float = 1.0
    matching_weight: float = 0.0
    passes: tuple[str, ...] = PASSES
    reference_trains: str = 'generator'
    own_domain: bool = True
    latent_length: int = 16
    style_size: int = 64
    mapping_width: int = 512
    width: int = 0
    max_width: int = 512
    downsamplings: int = 0
    bottleneck_blocks: int = 2
    residual: bool = False
    clip: bool = False
    pixel_norm: bool = False
    skips: bool = False
    high_pass_weight: float = 0.0
    style_encoder_width: int = 0
    discriminator_blocks: int = 0
    moments_weight: float = 0.0

    positive: ClassVar[tuple[str, ...]] = (
        *('regularize_every', 'diversity_images', 'latent_length'),
        *('style_size', 'mapping_width', 'max_width'),
    )
    fully_convolutional: ClassVar[bool] = False
    size_multiple: ClassVar[int] = 1
    style_networks: ClassVar[Mapping[str, str]] = types.MappingProxyType(
        {'target': 'style_encoder', 'latent': 'mapping_network'}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.passes or not set(self.passes) <= set(PASSES) or len(set(self.passes)) < len(self.passes):
            raise ValueError(f'passes is {self.passes}; choose from {PASSES}, each once')
        for name in ('matching_weight', 'moments_weight'):
            if getattr(self, name) and 'reference' not in self.passes:
                raise ValueError(
                    f'{name} is {getattr(self, name)} and passes {self.passes}; without target images in '
                    "training it does nothing: set it to 0, or add 'reference' to passes"
                )
        if self.reference_trains not in ('generator', 'all'):
            raise ValueError(f"reference_trains is {self.reference_trains!r}; choose 'generator' or 'all'")
        if 'latent' not in self.passes and self.reference_trains != 'all':
            raise ValueError("no latent pass trains the style encoder: set reference_trains to 'all'")

    @property
    def sampling(self) -> str:
        return 'class_balanced' if self.own_domain else 'other_domain'

    @property
    def latent_size(self) -> int:
        return self.latent_length if 'latent' in self.passes else 0

    @property
    def batch_fields(self) -> tuple[str, ...]:
        fields = ('source', 'source_domain', 'target_domain')
        if 'reference' in self.passes:
            fields += ('target', 'target_2')
        return fields + (('latent', 'latent_2') if 'latent' in self.passes else ())

    @property
    def translate_fields(self) -> tuple[str, ...]:
        return ('source', 'target', 'target_domain')

    @property
    def feature_game(self) -> FeatureGame:
        return dataclasses.replace(super().feature_game, moments_weight=self.moments_weight)

    def check(self, image_size: int, domains: int) -> None:
        super().check(image_size, domains)
        stargan_v2.check(
            image_size,
            downsamplings=self._downsamplings(image_size),
            bottleneck_blocks=self.bottleneck_blocks,
            high_pass_weight=self.high_pass_weight,
            discriminator_blocks=self.discriminator_blocks,
        )

    def _downsamplings(self, image_size: int) -> int:
        return self.downsamplings or max(int(math.log2(max(image_size, 1))) - 4, 1) + bool(
            self.high_pass_weight
        )

    def networks(self, settings: NetworkSettings) -> dict[str, Network]:
        size = settings.image_size
        image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        domain = jax.ShapeDtypeStruct((1,), jnp.int32)
        style = jax.ShapeDtypeStruct((1, self.style_size), jnp.float32)
        trunk = {
            'width': self.width or 2**14 // size,
            'max_width': self.max_width,
            'dtype': settings.dtype,
            'rematerialize': settings.rematerialize,
        }
        same = ('bottleneck_blocks', 'residual', 'clip', 'pixel_norm', 'skips', 'high_pass_weight')
        options = {name: getattr(self, name) for name in same}
        generator = stargan_v2.Generator(downsamplings=self._downsamplings(size), **options, **trunk)
        encoder = stargan_v2.StyleEncoder(
            domains=settings.domains,
            style_size=self.style_size,
            **{**trunk, 'width': self.style_encoder_width or trunk['width']},
        )
        discriminator = stargan_v2.Discriminator(
            domains=settings.domains, blocks=self.discriminator_blocks, **trunk
        )
        networks = {
            'generator': Network('generator', generator, (image, style), averaged=True),
            'style_encoder': Network('generator', encoder, (image, domain), averaged=True),
            'discriminator': Network('discriminator', discriminator, (image, domain)),
        }
        if 'latent' in self.passes:
            latent = jax.ShapeDtypeStruct((1, self.latent_length), jnp.float32)
            sizes = {'style_size': self.style_size, 'width': self.mapping_width}
            mapping = stargan_v2.MappingNetwork(domains=settings.domains, dtype=settings.dtype, **sizes)
            networks['mapping_network'] = Network('generator', mapping, (latent, domain), averaged=True)
        judges = self._discriminators[1:]
        return networks | self.feature_game.networks(settings, judges, settings.domains)

    @property
    def _discriminators(self) -> tuple[str, ...]:
        return ('discriminator', 'feature_discriminator') if self.feature_network else ('discriminator',)

    def forwards(self) -> tuple[Forward, ...]:
        styles = {'latent': 'mapping_network', 'reference': 'style_encoder'}
        return tuple(
            Forward(f'translated_{name}', ('generator', styles[name]), functools.partial(self._forward, name))
            for name in self.passes
        )

    def phases(self) -> tuple[Phase, ...]:
        encoder = ('style_encoder',) if self.reference_trains == 'all' else ()
        trained = {
            'latent': ('generator', 'mapping_network', 'style_encoder'),
            'reference': ('generator', *encoder),
        }

        def phase(side: str, name: str) -> Phase:
            networks = trained[name] if side == 'generator' else self._discriminators
            loss = self.generator_loss if side == 'generator' else self.discriminator_loss
            forward = f'translated_{name}'
            return Phase(f'{side}_{name}', side, networks, functools.partial(loss, name), (forward,))

        return tuple(phase(side, name) for side in ('discriminator', 'generator') for name in self.passes)

    def _style(self, name: str, suffix: str, networks: Networks, batch: Batch) -> Float[Array, 'b s']:
        if name == 'latent':
            return networks['mapping_network'](batch[f'latent{suffix}'], batch['target_domain'])[0]
        return networks['style_encoder'](batch[f'target{suffix}'], batch['target_domain'])[0]

    def _forward(self, name: str, given: PhaseInput) -> dict[str, Array]:
        return self._translated(name, given.networks, given.batch)

    def _translated(self, name: str, networks: Networks, batch: Batch) -> dict[str, Array]:
        style = self._style(name, '', networks, batch)
        return {'style': style, 'images': networks['generator'](batch['source'], style, batch.get('mask'))[0]}

    def discriminator_loss(self, name: str, given: PhaseInput) -> PhaseOutput:
        """Equation 1 with R1: sources are real in their own domain, translations are fake in the target domain."""
        batch, discriminator = given.batch, given.networks['discriminator']
        real, fake = batch['source'], given.forwards[f'translated_{name}']['images']
        # Source and target domains differ sample by sample, so each set of images is scored by its own logits.
        domains = batch['source_domain'], batch['target_domain']
        real_score, fake_score = (
            lambda x, domain=domain: discriminator(self.shown(given, x), domain)[0] for domain in domains
        )
        loss, terms = self.discriminator_terms(given, real_score, real, fake, fake_score=fake_score)
        shown = (self.shown(given, images) for images in (real, fake))
        added, more = self.feature_game.discriminator_terms(
            given.networks, 'feature_discriminator', *shown, domains
        )
        return PhaseOutput(loss + added, {**terms, **more})

    def generator_loss(self, name: str, given: PhaseInput) -> PhaseOutput:
        """Equation 5: adversarial, style reconstruction, diversity, cycle."""
        batch, networks = given.batch, given.networks
        translated = given.forwards[f'translated_{name}']
        source, domain = batch['source'], batch['target_domain']
        style, images = translated['style'], translated['images']
        shown = self.shown(given, images)
        logits, features = networks['discriminator'](shown, domain)
        own_style = networks['style_encoder'](source, batch['source_domain'])[0]
        terms = {
            'adversarial': losses.generator_adversarial(self.adversarial, logits),
            'style': losses.l1(networks['style_encoder'](images, domain)[0], style),
            'cycle': losses.l1(networks['generator'](images, own_style)[0], source),
        }
        loss = terms['adversarial'] + self.style_weight * terms['style'] + self.cycle_weight * terms['cycle']
        added, more = self.feature_game.generator_terms(
            *(networks, 'feature_discriminator', images),
            domain=domain,
            shown=shown,
            sources=source,
            targets=batch['target'] if name == 'reference' else None,
            key=given.key,
        )
        loss, terms = loss + added, {**terms, **more}
        if self.matching_weight and name == 'reference':
            target_features = networks['discriminator'](self.shown(given, batch['target']), domain)[1]
            terms['matching'] = losses.feature_matching(features, target_features)
            loss += self.matching_weight * terms['matching']
        if self.diversity_weight:
            other_style = self._style(name, '_2', networks, batch)
            other = jax.lax.stop_gradient(networks['generator'](source, other_style)[0])
            distances = jax.vmap(losses.l1)(images, other)
            terms['diversity'] = distances.mean()
            counted = jnp.minimum(distances, self.diversity_limit or jnp.inf).mean()
            left = jnp.clip(1 - given.images_seen / self.diversity_images, 0, 1)
            loss -= self.diversity_weight * left * counted
        return PhaseOutput(loss, terms)

    def translate(self, networks: Networks, batch: Batch, key: Key[Array, '']) -> Images:
        """Renders `source` in the style of `target`, or of `latent` where the batch has one; by `mask` if there is."""
        name = 'latent' if 'latent' in batch else 'reference'
        return self._translated(name, networks, batch)['images']
