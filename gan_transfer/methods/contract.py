"""What a method is: networks, phases with losses, and how it translates. The step knows this and no method."""

import dataclasses
import itertools
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Key

from gan_transfer import augment, losses, random

Images = Float[Array, 'b h w c']
Networks = Mapping[str, Callable[..., tuple[Any, dict[str, Array]]]]  # name -> its application to inputs
Scalars = dict[str, Float[Array, '']]
Score = Callable[[Images], Array]  # a discriminator: images to logits


class NetworkSettings(NamedTuple):
    """What the networks depend on beside the method's hyper-parameters.

    Attributes:
      image_size: height and width of the images of a training.
      domains: how many the data has.
      dtype: what convolutions and linear layers compute in; parameters, outputs and terms of losses are float32.
      rematerialize: whether the larger networks compute features again in the backward pass, in place of keeping them.
    """

    image_size: int
    domains: int
    dtype: Any
    rematerialize: bool


class Network(NamedTuple):
    """One network of a method, which is applied by its module's `__call__`; an autoencoder is two.

    Attributes:
      side: 'generator' or 'discriminator'.
      module: the Linen module.
      inputs: abstract inputs of a batch of one, from which the parameters' shapes follow.
      averaged: whether a moving average of it translates images, where the config asks for averages.
      pretrained: name of the weights of `importers/feature_weights.py` that it starts from; such a network stands in no
        phase and so keeps them.
    """

    side: str
    module: nn.Module
    inputs: tuple[jax.ShapeDtypeStruct, ...]
    averaged: bool = False
    pretrained: str = ''


class PhaseInput(NamedTuple):
    """What a loss sees, and, without `forwards` and `memory`, a shared forward pass.

    Attributes:
      networks: every network, applied to parameters of which only those of the phase are differentiated.
      batch: float images in [-1, 1], domains, latents, and `slot` [b], the place in the global batch.
      forwards: outputs of the phase's shared forward passes, by name.
      memory: what the method keeps between steps.
      key: random key of this step and of this phase or forward pass, the same on every device.
      images_seen: images seen before this step, float32; weights that decay are functions of it.
      step: steps done before this one.
      axes: names of the mesh axes that the batch is split along, for statistics of the whole batch.
    """

    networks: Networks
    batch: dict[str, Array]
    forwards: dict[str, Any]
    memory: dict[str, Any]
    key: Key[Array, '']
    images_seen: Float[Array, '']
    step: Array
    axes: tuple[str, ...]


class PhaseOutput(NamedTuple):
    """A loss, the terms to log, unweighted, in the order of computation, and the memory's new values, if any."""

    loss: Float[Array, '']
    scalars: Scalars
    memory: dict[str, Any] | None = None


class Forward(NamedTuple):
    """A forward pass of generator-side networks whose outputs several phases use: run once.

    A phase that trains one of `networks` differentiates through the pass, taken at the current parameters; any
    other phase takes the outputs last made in this step, as constants. `function` is given these networks alone.
    """

    name: str
    networks: tuple[str, ...]
    function: Callable[[PhaseInput], dict[str, Array]]


class Phase(NamedTuple):
    """One minimization of a step: `networks` (all of one `side`) take an optimizer step on `loss`."""

    name: str
    side: str
    networks: tuple[str, ...]
    loss: Callable[[PhaseInput], PhaseOutput]
    forwards: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Method:
    """Base of the methods: hyper-parameters that every adversarial method has.

    Attributes:
      adversarial: the adversarial loss, one of `losses.ADVERSARIAL`.
      r1_weight: weight of R1, the gradient penalty on real images.
      r2_weight: weight of R2, the same on generated images.
      gradient_penalty_weight: weight of WGAN-GP's penalty between them.
      regularize_every: the penalties act every so many steps, so many times stronger (Karras et al. 2020, appendix B).
      discriminator_augmentation: how images are changed before discriminators see them, some of `augment.KINDS`.

    What a class says of itself:

      positive: the numbers among the above that must be above 0; no other may be below.
      batch_fields: what a batch of a training has to have, of `data.pipeline.FIELDS`.
      sampling: how its images are drawn, of `data.pipeline.SAMPLINGS`; `make_pipeline` says what each gives.
      translate_fields: what a batch to translate has to have: 'source', and of 'target', 'target_domain' and 'mask'
        those that say in which style. Where there are latent codes it may have a 'latent' in place of a 'target'; the
        domain that a source is of nobody tells.
      style_networks: what reads a style: 'target' and 'latent' -> the network, where the generator does not itself.
      fully_convolutional: whether it translates sources of any size, or of its training's only, as target images are.
      size_multiple: what height and width of an image to translate must be a multiple of.
      most_domains: that it translates between; all methods need two.
    """

    adversarial: str = 'lsgan'
    r1_weight: float = 0.0
    r2_weight: float = 0.0
    gradient_penalty_weight: float = 0.0
    regularize_every: int = 1
    discriminator_augmentation: tuple[str, ...] = ()

    positive: ClassVar[tuple[str, ...]] = ('regularize_every',)
    batch_fields: ClassVar[tuple[str, ...]]
    sampling: ClassVar[str]
    translate_fields: ClassVar[tuple[str, ...]]
    style_networks: ClassVar[Mapping[str, str]] = types.MappingProxyType({})
    fully_convolutional: ClassVar[bool]
    size_multiple: ClassVar[int]
    most_domains: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        losses.check_adversarial(self.adversarial)
        augment.check(self.discriminator_augmentation)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float):
                continue
            if not math.isfinite(value) or value < 0 or (field.name in self.positive and not value):
                bound = 'above 0' if field.name in self.positive else '0 or more'
                raise ValueError(f'{field.name} is {value}; it must be {bound}')

    @property
    def latent_size(self) -> int:
        """Length of the latent codes in a batch; 0 when the method uses none."""
        return 0

    def check(self, image_size: int, domains: int) -> None:
        """Raises ValueError where the method cannot work on such images, or between so many domains."""
        if not 2 <= domains <= self.most_domains:
            wanted = '2 domains' if self.most_domains == 2 else '2 domains or more'
            there = 'there is 1' if domains == 1 else f'there are {domains}'
            raise ValueError(
                f'the method translates between {wanted}, {there}; '
                '--config.data.domains=A,B takes those of the data that it names'
            )

    def check_batch(self, size: int) -> None:
        """Raises ValueError where so many images on all devices, a batch or a microbatch of it, are too few."""

    def directions(self, domains: int) -> tuple[tuple[int, int], ...]:
        """Returns the ordered pairs (source domain, target domain) that it translates between."""
        return tuple(itertools.permutations(range(domains), 2))

    def translating(self, source: int, target: int) -> tuple[str, ...]:
        """Returns the networks without which there is no translation from one domain to another, in no style."""
        return ('generator',)

    def networks(self, settings: NetworkSettings) -> dict[str, Network]:
        """Returns the networks by name; the names are the keys of states, optimizers, logs and checkpoints."""
        raise NotImplementedError

    def forwards(self) -> tuple[Forward, ...]:
        """Returns the forward passes that phases share."""
        return ()

    def phases(self) -> tuple[Phase, ...]:
        """Returns the phases of a step, in the paper's order."""
        raise NotImplementedError

    def trained(self) -> frozenset[str]:
        """Returns the networks that phases train."""
        return frozenset(name for phase in self.phases() for name in phase.networks)

    def memory(self, batch_size: int, image_size: int) -> dict[str, Any]:
        """Returns the first values of what the method keeps between steps, each [batch_size, ...]."""
        return {}

    def translate(self, networks: Networks, batch: dict[str, Array], key: Key[Array, '']) -> Images:
        """Returns `batch['source']` in the target's style, in about [-1, 1]; deterministic given the key."""
        raise NotImplementedError

    def shown(self, given: PhaseInput, images: Images) -> Images:
        """Returns images as the discriminators of a phase are shown them: a sample's real and generated ones alike."""
        if not self.discriminator_augmentation:
            return images
        keys = random.per_sample(random.named(given.key, 'shown'), given.batch['slot'])
        return augment.augment(images, self.discriminator_augmentation, keys)

    def discriminator_terms(
        self,
        given: PhaseInput,
        score: Score,
        real: Images,
        fake: Images,
        *,
        fake_score: Score | None = None,
        weight: float = 1.0,
    ) -> tuple[Float[Array, ''], Scalars]:
        """Returns the adversarial loss of one discriminator with its penalties, and the terms to log.

        Args:
          given: the phase's input, for key and step.
          score: the discriminator: images, as they are `shown` to it, to logits.
          real: images of the data set.
          fake: generated images.
          fake_score: the same for generated images, where it differs (by their domain).
          weight: of the adversarial terms; penalties have their own.
        """
        fake_score = fake_score or score
        real_logits, fake_logits = score(real), fake_score(fake)
        terms = {
            'real': losses.discriminator_real(self.adversarial, real_logits),
            'fake': losses.discriminator_fake(self.adversarial, fake_logits),
        }
        penalties = self._penalties(given, score, real, fake, fake_score)
        weights = {
            'r1': self.r1_weight,
            'r2': self.r2_weight,
            'gradient_penalty': self.gradient_penalty_weight,
        }
        loss = weight * sum(terms.values()) + sum(
            self.regularize_every * weights[name] * value for name, value in penalties.items()
        )
        scores = {
            'real_score': real_logits.mean(),
            'fake_score': fake_logits.mean(),
            'real_sign': losses.side(self.adversarial, real_logits),
            'fake_sign': losses.side(self.adversarial, fake_logits),
        }
        return loss, {**terms, **penalties, **scores}

    def _penalties(
        self, given: PhaseInput, score: Score, real: Images, fake: Images, fake_score: Score
    ) -> Scalars:
        """Returns the penalties in use; zeros at the steps that leave them out."""
        functions = {}
        if self.r1_weight:
            functions['r1'] = lambda: losses.zero_centred_penalty(score, real)
        if self.r2_weight:
            functions['r2'] = lambda: losses.zero_centred_penalty(fake_score, fake)
        if self.gradient_penalty_weight:
            keys = random.per_sample(random.named(given.key, 'gradient_penalty'), given.batch['slot'])
            functions['gradient_penalty'] = lambda: losses.one_centred_penalty(fake_score, real, fake, keys)
        if self.regularize_every == 1 or not functions:
            return {name: function() for name, function in functions.items()}
        # The last step of each period, so that logging at multiples of it shows the penalty.
        return jax.lax.cond(
            (given.step + 1) % self.regularize_every == 0,
            lambda: {name: function() for name, function in functions.items()},
            lambda: {name: jax.numpy.zeros(()) for name in functions},
        )
