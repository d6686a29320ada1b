"""pix2pix: translation learnt from pairs (Isola et al. 2017).

One generator from domain a (`source`) to its counterpart in domain b (`paired`), and one discriminator that sees the
source beside the real or the generated counterpart.

Differs from the reference: batch statistics are those of the batch on all devices, and of no running average; to
translate, every image is normalized by its own, which is what the original's test does with its batches of one. The
learning rate falls at every step, not once an epoch. With `accumulation`, statistics are those of a part of the batch.
"""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from gan_transfer import losses, random
from gan_transfer.methods.contract import (
    Forward,
    Images,
    Method,
    Network,
    Networks,
    NetworkSettings,
    Phase,
    PhaseInput,
    PhaseOutput,
)
from gan_transfer.networks import patchgan
from gan_transfer.networks.patchgan import PatchDiscriminator
from gan_transfer.networks.unet import UNetGenerator


@dataclasses.dataclass(frozen=True)
class Pix2Pix(Method):
    """Hyper-parameters of pix2pix, the paper's values by default.

    Attributes:
      l1_weight: weight of the L1 distance to the true counterpart (equation 4).
      dropout: share of values set to 0 in the inner blocks, in training and in translation: the noise of the paper. At
        a `generator_depth` below 6 no block has it, as in the original, and translations are without noise.
      generator_width: channels at half size; generator_depth: halvings (8 at 256 px, 7 at 128).
      discriminator_width, discriminator_depth: channels of the first layer; layers of stride 2, 0 for
        single pixels.
      initial_deviation: standard deviation of the initial weights.
    """

    adversarial: str = 'non_saturating'
    l1_weight: float = 100.0
    dropout: float = 0.5
    generator_width: int = 64
    generator_depth: int = 8
    discriminator_width: int = 64
    discriminator_depth: int = 3
    initial_deviation: float = 0.02

    positive: ClassVar[tuple[str, ...]] = (
        'regularize_every',
        'generator_width',
        'generator_depth',
        'discriminator_width',
    )
    batch_fields: ClassVar[tuple[str, ...]] = ('source', 'paired')
    sampling: ClassVar[str] = 'paired'
    translate_fields: ClassVar[tuple[str, ...]] = ('source',)
    fully_convolutional: ClassVar[bool] = False
    size_multiple: ClassVar[int] = 1
    most_domains: ClassVar[float] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout >= 1:
            raise ValueError(f'dropout is {self.dropout}; it must be below 1')

    def check(self, image_size: int, domains: int) -> None:
        super().check(image_size, domains)
        multiple, smallest = 2**self.generator_depth, patchgan.smallest(self.discriminator_depth)
        if image_size % multiple or image_size < smallest:
            raise ValueError(
                f'image_size is {image_size}; with generator_depth {self.generator_depth} pix2pix takes multiples of '
                f'{multiple} from {smallest} on'
            )

    def directions(self, domains: int) -> tuple[tuple[int, int], ...]:
        return ((0, 1),)

    def networks(self, settings: NetworkSettings) -> dict[str, Network]:
        size = settings.image_size
        image, pair = (jax.ShapeDtypeStruct((1, size, size, c), jnp.float32) for c in (3, 6))
        shared = {'initializer': nn.initializers.normal(self.initial_deviation), 'dtype': settings.dtype}
        generator = UNetGenerator(
            depth=self.generator_depth,
            width=self.generator_width,
            dropout=self.dropout,
            rematerialize=settings.rematerialize,
            **shared,
        )
        discriminator = PatchDiscriminator(
            width=self.discriminator_width, depth=self.discriminator_depth, batch_norm=True, **shared
        )
        return {
            'generator': Network('generator', generator, (image,), averaged=True),
            'discriminator': Network('discriminator', discriminator, (pair,)),
        }

    def forwards(self) -> tuple[Forward, ...]:
        return (Forward('translated', ('generator',), self._translated),)

    def phases(self) -> tuple[Phase, ...]:
        forwards = ('translated',)
        return (
            Phase('discriminator', 'discriminator', ('discriminator',), self.discriminator_loss, forwards),
            Phase('generator', 'generator', ('generator',), self.generator_loss, forwards),
        )

    def _translated(self, given: PhaseInput) -> dict[str, Array]:
        keys = random.per_sample(given.key, given.batch['slot'])
        return {'images': given.networks['generator'](given.batch['source'], keys, given.axes)[0]}

    def _score(self, given: PhaseInput, images: Images) -> Array:
        """Returns the discriminator's logits of images beside their sources (equation 1)."""
        pair = jnp.concatenate([given.batch['source'], images], axis=-1)
        return given.networks['discriminator'](self.shown(given, pair), given.axes)[0]

    def discriminator_loss(self, given: PhaseInput) -> PhaseOutput:
        """Equation 1 for the discriminator, halved to slow it down against the generator (section 3.3)."""
        fake = given.forwards['translated']['images']
        return PhaseOutput(
            *self.discriminator_terms(
                given, lambda x: self._score(given, x), given.batch['paired'], fake, weight=0.5
            )
        )

    def generator_loss(self, given: PhaseInput) -> PhaseOutput:
        """Equation 4: the adversarial term and the distance to the truth."""
        fake = given.forwards['translated']['images']
        terms = {
            'adversarial': losses.generator_adversarial(self.adversarial, self._score(given, fake)),
            'l1': losses.l1(fake, given.batch['paired']),
        }
        return PhaseOutput(terms['adversarial'] + self.l1_weight * terms['l1'], terms)

    def translate(self, networks: Networks, batch: dict[str, Array], key: Key[Array, '']) -> Images:
        """Takes every source to the second domain; `key` is the noise, the same for each."""
        source = batch['source']
        return networks['generator'](source, jnp.broadcast_to(key, len(source)))[0]
