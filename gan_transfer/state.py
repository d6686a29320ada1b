"""The state of a training: arrays only, and everything that must survive a step."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

Params = Any  # a tree of float32 arrays
SIDES = ('generator', 'discriminator')


@flax.struct.dataclass
class SideState:
    """One player of the game: by network name, its parameters and its optimizer's state."""

    params: dict[str, Params]
    optimizer_state: dict[str, Any]


@flax.struct.dataclass
class Fault:
    """The first non-finite number: at which step, and which term, as an index into the sorted names; -1: none yet."""

    step: Any  # int32 []
    term: Any  # int32 []


@flax.struct.dataclass
class GanState:
    """Everything a training step reads and writes.

    Attributes:
      step: steps done.
      generator: the side that makes images: generators, mapping network, style encoder.
      discriminator: the side that judges them.
      average: exponential moving averages of the parameters of some networks.
      memory: what a method keeps from step to step, with a leading axis of the global batch (image pools).
      fault: the first non-finite number.
    """

    step: Any  # int32 []; in an abstract state a shape, in place of any array a sharding
    generator: SideState
    discriminator: SideState
    average: dict[str, Params]
    memory: dict[str, Any]
    fault: Fault

    @property
    def params(self) -> dict[str, Params]:
        """The parameters of every network."""
        return {**self.generator.params, **self.discriminator.params}

    @property
    def translate_params(self) -> dict[str, Params]:
        """The parameters that make pictures: averages where they are kept."""
        return {**self.generator.params, **self.average}


def to_float(images: UInt8[Array, '*b h w c']) -> Float[Array, '*b h w c']:
    """0..255 to [-1, 1]."""
    return images.astype(jnp.float32) / 127.5 - 1


def to_uint8(images: Float[Array, '*b h w c']) -> UInt8[Array, '*b h w c']:
    """[-1, 1] to 0..255, rounded; what is outside is clipped."""
    return jnp.clip(jnp.round((images + 1) * 127.5), 0, 255).astype(jnp.uint8)


def copy(tree: Params) -> Params:
    """A copy in memory of its own: an alias would be donated twice."""
    return jax.tree.map(jnp.copy, tree)
