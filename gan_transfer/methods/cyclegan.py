"""CycleGAN: unpaired translation between two domains (Zhu et al. 2017).

Two generators and two discriminators. `source` images are of domain a, `target` images of domain b; each generator must
fool the other domain's discriminator, and going there and back must give the image again.

Differs from the reference: the identity weight is absolute (5, where the original multiplies 0.5 by the cycle weight
10); networks are called by what they do (the original's D_A judges domain b); the image pool is per place of the
batch (`image_pool.py`); the learning rate falls at every step, not once an epoch.
"""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from gan_transfer import image_pool, losses, random
from gan_transfer.methods import unpaired
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
from gan_transfer.networks.patchgan import PatchDiscriminator
from gan_transfer.networks.resnet import ResNetGenerator


@dataclasses.dataclass(frozen=True)
class CycleGan(FeatureMethod):
    """Hyper-parameters of CycleGAN, the paper's values by default.

    Attributes:
      cycle_weight: weight of the L1 distance between an image and itself there and back (equation 2).
      identity_weight: weight of the L1 distance between an image of the target domain and its translation
        (section 5.2, "photo generation from paintings"); 0 leaves those passes out.
      domain_b_factor: of both weights where images of domain b are to come back, or through, as they are (original:
        lambda_B over lambda_A).
      pool_size: generated images kept for the discriminators; 0 keeps none.
      generator_width, generator_blocks: channels at full size; residual blocks (9 at 256 px, 6 at 128).
      discriminator_width, discriminator_depth: channels of the first layer; layers of stride 2, 0 for single pixels.
      antialias: blur where generators and discriminators resample, as CUT does; not in the paper.
      residual, clip, skips: generators add to the image; the sums are clipped; their decoders see the encoder's
        features of their size; see `networks/resnet.py`; not in the paper.
      initial_deviation: standard deviation of the initial weights.
      feature_network, feature_weight, contrast_weight: a second game in each domain; see `feature_game.py`; not in the
        paper.
    """

    cycle_weight: float = 10.0
    identity_weight: float = 5.0
    domain_b_factor: float = 1.0
    pool_size: int = 50
    generator_width: int = 64
    generator_blocks: int = 9
    discriminator_width: int = 64
    discriminator_depth: int = 3
    antialias: bool = False
    residual: bool = False
    clip: bool = False
    skips: bool = False
    initial_deviation: float = 0.02

    positive: ClassVar[tuple[str, ...]] = (
        'regularize_every',
        'generator_width',
        'discriminator_width',
    )
    batch_fields: ClassVar[tuple[str, ...]] = ('source', 'target')
    sampling: ClassVar[str] = 'two_domains'
    translate_fields: ClassVar[tuple[str, ...]] = ('source', 'target_domain')
    fully_convolutional: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 4
    most_domains: ClassVar[float] = 2

    def check(self, image_size: int, domains: int) -> None:
        super().check(image_size, domains)
        unpaired.check('cyclegan', self, image_size)

    def translating(self, source: int, target: int) -> tuple[str, ...]:
        return ('generator_a_to_b' if target == 1 else 'generator_b_to_a',)

    def networks(self, settings: NetworkSettings) -> dict[str, Network]:
        image = jax.ShapeDtypeStruct((1, settings.image_size, settings.image_size, 3), jnp.float32)
        initializer = nn.initializers.normal(self.initial_deviation)
        generator = ResNetGenerator(
            width=self.generator_width,
            blocks=self.generator_blocks,
            antialias=self.antialias,
            residual=self.residual,
            clip=self.clip,
            skips=self.skips,
            initializer=initializer,
            dtype=settings.dtype,
            rematerialize=settings.rematerialize,
        )
        discriminator = PatchDiscriminator(
            width=self.discriminator_width,
            depth=self.discriminator_depth,
            antialias=self.antialias,
            initializer=initializer,
            dtype=settings.dtype,
        )
        return {
            'generator_a_to_b': Network('generator', generator, (image,), averaged=True),
            'generator_b_to_a': Network('generator', generator, (image,), averaged=True),
            'discriminator_a': Network('discriminator', discriminator, (image,)),
            'discriminator_b': Network('discriminator', discriminator, (image,)),
            **self.feature_game.networks(settings, self._feature_discriminators),
        }

    @property
    def _feature_discriminators(self) -> tuple[str, ...]:
        return tuple(f'feature_discriminator_{domain}' for domain in 'ab') if self.feature_network else ()

    def memory(self, batch_size: int, image_size: int) -> dict[str, Any]:
        if not self.pool_size:
            return {}
        shape = (image_size, image_size, 3)
        return {f'pool_{domain}': image_pool.create(self.pool_size, batch_size, shape) for domain in 'ab'}

    def forwards(self) -> tuple[Forward, ...]:
        return (Forward('translated', ('generator_a_to_b', 'generator_b_to_a'), self._translated),)

    def phases(self) -> tuple[Phase, ...]:
        generators, discriminators = (
            ('generator_a_to_b', 'generator_b_to_a'),
            ('discriminator_a', 'discriminator_b', *self._feature_discriminators),
        )
        return (
            Phase('generator', 'generator', generators, self.generator_loss, ('translated',)),
            Phase('discriminator', 'discriminator', discriminators, self.discriminator_loss, ('translated',)),
        )

    def _translated(self, given: PhaseInput) -> dict[str, Array]:
        return {
            'b': given.networks['generator_a_to_b'](given.batch['source'])[0],
            'a': given.networks['generator_b_to_a'](given.batch['target'])[0],
        }

    def generator_loss(self, given: PhaseInput) -> PhaseOutput:
        """Equation 3 with the identity term, both directions at once."""
        translated, loss, scalars = given.forwards['translated'], 0.0, {}
        real = {'a': given.batch['source'], 'b': given.batch['target']}
        factor = {'a': 1.0, 'b': self.domain_b_factor}
        for here, there in ('ab', 'ba'):
            forward = given.networks[f'generator_{here}_to_{there}']
            back = given.networks[f'generator_{there}_to_{here}']
            shown = self.shown(given, translated[there])
            logits = given.networks[f'discriminator_{there}'](shown)[0]
            terms = {
                'adversarial': losses.generator_adversarial(self.adversarial, logits),
                'cycle': losses.l1(back(translated[there])[0], real[here]),
            }
            loss += terms['adversarial'] + factor[here] * self.cycle_weight * terms['cycle']
            added, more = self.feature_game.generator_terms(
                *(given.networks, f'feature_discriminator_{there}', translated[there]),
                shown=shown,
                sources=real[here],
                key=random.named(given.key, there),
            )
            loss, terms = loss + added, {**terms, **more}
            if self.identity_weight:
                terms['identity'] = losses.l1(forward(real[there])[0], real[there])
                loss += factor[there] * self.identity_weight * terms['identity']
            scalars |= {f'{name}_{here}_to_{there}': value for name, value in terms.items()}
        return PhaseOutput(loss, scalars)

    def discriminator_loss(self, given: PhaseInput) -> PhaseOutput:
        """Both discriminators, their adversarial terms halved to slow them down against the generators (section 4)."""
        loss, scalars, memory = 0.0, {}, {}
        real = {'a': given.batch['source'], 'b': given.batch['target']}
        for domain in 'ab':
            fake, pool = given.forwards['translated'][domain], f'pool_{domain}'
            if pool in given.memory:
                keys = random.per_sample(random.named(given.key, pool), given.batch['slot'])
                fake, memory[pool] = image_pool.query(given.memory[pool], fake, keys)
            network = given.networks[f'discriminator_{domain}']
            total, terms = self.discriminator_terms(
                given, lambda x, n=network: n(self.shown(given, x))[0], real[domain], fake, weight=0.5
            )
            added, more = self.feature_game.discriminator_terms(
                *(given.networks, f'feature_discriminator_{domain}'),
                *(self.shown(given, images) for images in (real[domain], fake)),
            )
            loss += total + 0.5 * added
            scalars |= {f'{name}_{domain}': value for name, value in {**terms, **more}.items()}
        return PhaseOutput(loss, scalars, memory)

    def translate(self, networks: Networks, batch: dict[str, Array], key: Key[Array, '']) -> Images:
        """Takes every source to its `target_domain` (0: a, 1: b)."""
        to_b = batch['target_domain'] == 1

        def one(name: str) -> Images:
            return networks[name](batch['source'])[0]

        def both() -> Images:
            return jnp.where(to_b[:, None, None, None], one('generator_a_to_b'), one('generator_b_to_a'))

        # A batch usually goes one way; only a mixed one pays for both.
        return jax.lax.cond(
            to_b.all(),
            lambda: one('generator_a_to_b'),
            lambda: jax.lax.cond(to_b.any(), both, lambda: one('generator_b_to_a')),
        )
