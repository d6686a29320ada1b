"""One optax chain per network, from the config; learning rates are functions of the images seen."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

SCHEDULES = ('constant', 'linear', 'cosine')


class Optimizer(NamedTuple):
    """`direction` turns gradients into steps of unit learning rate; `learning_rate` maps images seen to the rate.

    The rate is kept out of the chain because a network that two phases update (StarGAN v2) would count twice the
    steps of its neighbours.
    """

    direction: optax.GradientTransformation
    learning_rate: Callable[[jax.Array], jax.Array]

    def update(
        self, gradients: Any, state: Any, params: Any, *, images_seen: jax.Array, norm: jax.Array
    ) -> tuple[Any, jax.Array, Any]:
        """Returns the direction to leave the parameters by, how far (the learning rate), and the new optimizer state.

        `norm` is that of the network's whole gradient, of which a device may hold a part.
        """
        transformation = optax.with_extra_args_support(self.direction)
        direction, state = transformation.update(gradients, state, params, norm=norm)
        return direction, self.learning_rate(images_seen), state


def rates(optimizers: Mapping[str, Optimizer], images_seen: int) -> dict[str, float]:
    """Returns the learning rates by name, for a log: one where all networks have the same."""
    found = {name: float(one.learning_rate(jnp.float32(images_seen))) for name, one in optimizers.items()}
    if len(set(found.values())) == 1:
        return {'learning_rate': next(iter(found.values()))}
    return {f'learning_rate/{name}': rate for name, rate in found.items()}


def make_schedule(
    name: str, peak: float, decay_start: int, decay_end: int
) -> Callable[[jax.Array], jax.Array]:
    """Returns the learning rate by images seen: `peak` up to `decay_start`, from there to 0 at `decay_end`."""
    if name not in SCHEDULES:
        raise ValueError(f'unknown schedule {name!r}; choose one of {", ".join(SCHEDULES)}')

    def schedule(images_seen: jax.Array) -> jax.Array:
        if name == 'constant':
            return jnp.float32(peak)
        done = jnp.clip((images_seen - decay_start) / max(decay_end - decay_start, 1), 0, 1)
        return peak * (1 - done if name == 'linear' else 0.5 * (1 + jnp.cos(jnp.pi * done)))

    return schedule


def clip_by_norm(limit: float) -> optax.GradientTransformationExtraArgs:
    """As `optax.clip_by_global_norm`, by a norm that is given."""

    def update(
        gradients: Any, state: Any, params: Any = None, *, norm: jax.Array, **_: Any
    ) -> tuple[Any, Any]:
        del params
        scale = limit / jnp.maximum(norm, limit)
        return jax.tree.map(lambda g: g * scale, gradients), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def after(
    stateless: list[optax.GradientTransformation], last: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
    """As `optax.chain(*stateless, last)`, with the state of `last` alone.

    So a transformation without a state can be switched on or off between two starts of a run.
    """
    chain = optax.with_extra_args_support(optax.chain(*stateless, last))
    nothing = (optax.EmptyState(),) * len(stateless)

    def update(gradients: Any, state: Any, params: Any = None, **arguments: Any) -> tuple[Any, Any]:
        direction, states = chain.update(gradients, (*nothing, state), params, **arguments)
        return direction, states[-1]

    return optax.GradientTransformationExtraArgs(last.init, update)


def make_optimizer(config: Any, network: str, train_images: int) -> Optimizer:
    """Returns Adam for one network.

    Weight decay is added to the gradient before Adam (L2, as the papers have it), not decoupled from it (AdamW).

    Args:
      config: `config.optimizer`; its `networks[network]` overrides single values.
      network: the network's name.
      train_images: where a decaying schedule reaches 0.
    """
    value = {**config, **config.networks.get(network, {})}
    stateless = [clip_by_norm(value['gradient_clip'])] if value['gradient_clip'] else []
    if value['weight_decay']:
        stateless.append(optax.add_decayed_weights(value['weight_decay']))
    adam = optax.chain(optax.scale_by_adam(b1=value['b1'], b2=value['b2'], eps=1e-8))
    schedule = make_schedule(
        value['schedule'], value['learning_rate'], value['decay_start_images'], train_images
    )
    return Optimizer(after(stateless, adam), schedule)
