"""The minimax update of any method: one pure function of (state, batch, key), jitted over a mesh.

The step runs under `jax.shard_map`: each device works on its part of the batch, and the gradients of a phase are
averaged over the devices once, in float32. Plain jit would reduce every application of a network by itself, in the
type it computes in. Parameters that are split along `fsdp` are gathered for the step, whole, and their gradients
scattered again (ZeRO, Rajbhandari et al. 2020, by phases in place of layers: what is large in a GAN's step is the
activations). The axis `spatial` stays with the compiler.
"""

import collections
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_transfer import collectives, random, sharding
from gan_transfer.methods.contract import Forward, Method, Network, Networks, Phase, PhaseInput, PhaseOutput
from gan_transfer.optimizer import Optimizer
from gan_transfer.state import Fault, GanState, Params, SideState, to_float

IMAGE_FIELDS = ('source', 'target', 'target_2', 'paired')
TrainStep = Callable[[GanState, dict[str, jax.Array], jax.Array], tuple[GanState, dict[str, jax.Array]]]


def network_view(networks: dict[str, Network], params: dict[str, Params]) -> Networks:
    """Returns, by name, each network that there are parameters of as a function of its inputs alone."""

    def bind(name: str) -> Callable[..., Any]:
        return lambda *inputs: networks[name].module.apply({'params': params[name]}, *inputs)

    return _Views({name: bind(name) for name in networks if name in params})


class _Views(dict):
    """Networks by name; one that is not there is told with those that are."""

    def __missing__(self, name: str) -> Callable[..., Any]:
        raise ValueError(
            f'there is no network {name!r} here, but {", ".join(self)}; a shared forward pass has those that it names'
        )


def to_model_batch(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns the batch with its uint8 images as float32 in [-1, 1]."""
    return {k: to_float(v) if k in IMAGE_FIELDS and v.dtype == jnp.uint8 else v for k, v in batch.items()}


def _through(forward: Forward, phase: Phase) -> list[str]:
    """The networks that a phase trains through a shared forward pass.

    In the order of the pass: a set's order changes from process to process, and with it the compiled program.
    """
    return [name for name in forward.networks if name in phase.networks]


class _Gradients:
    """Losses and gradients of phases within one step, at whatever parameters are current.

    Holds what is fixed during a step, and the forward passes made so far, so that phases can share them. An object
    of one trace: nothing of it outlives the step.
    """

    def __init__(
        self,
        method: Method,
        networks: dict[str, Network],
        context: dict[str, Any],
        *,
        axes: tuple[str, ...],
        microbatches: int,
    ):
        self.networks = networks
        self.forwards = {forward.name: forward for forward in method.forwards()}
        self.context = context  # batch, memory, key, images_seen, step
        self.axes = axes
        self.microbatches = microbatches
        self.made: dict[str, Any] = {}  # name -> outputs (of each microbatch, when there are several)
        self.pullbacks: dict[
            str, Any
        ] = {}  # name -> vjp of the pass that made them; dropped when params change

    def of_phase(self, phase: Phase, params: dict[str, Params]) -> tuple[dict[str, Params], PhaseOutput]:
        """Returns the gradients by network, and loss, scalars and memory."""
        return self._at_once(phase, params) if self.microbatches == 1 else self._accumulated(phase, params)

    def parameters_changed(self, names: tuple[str, ...]) -> None:
        """Forgets how to differentiate the passes through these networks; the outputs themselves stay."""
        for forward in self.forwards.values():
            if set(names) & set(forward.networks):
                self.pullbacks.pop(forward.name, None)

    def _given(self, name: str, params: dict[str, Params], part: dict[str, Any]) -> PhaseInput:
        """What the phase or forward pass `name` sees of a part of the batch."""
        return PhaseInput(
            networks=network_view(self.networks, params),
            batch=part['batch'],
            forwards={},
            memory={},
            key=random.named(self.context['key'], name),
            images_seen=self.context['images_seen'],
            step=self.context['step'],
            axes=self.axes,
        )

    def _run(self, forward: Forward, params: dict[str, Params], part: dict[str, Any]) -> Any:
        # By no other network than it names, through which no phase would differentiate.
        own = {name: params[name] for name in forward.networks}
        return forward.function(self._given(forward.name, own, part))

    def _loss(
        self, phase: Phase, params: dict[str, Params], forwards: dict[str, Any], part: dict[str, Any]
    ) -> tuple[jax.Array, PhaseOutput]:
        given = self._given(phase.name, params, part)
        output = phase.loss(given._replace(forwards=forwards, memory=part['memory']))
        # JAX sorts the keys of a dict and keeps those of an OrderedDict: the first bad term is told by their order.
        return output.loss, output._replace(scalars=collections.OrderedDict(output.scalars))

    def _at_once(self, phase: Phase, params: dict[str, Params]) -> tuple[dict[str, Params], PhaseOutput]:
        """One backward pass; a shared forward is differentiated by the vjp of the pass that was made."""
        for name in phase.forwards:
            forward = self.forwards[name]
            through = _through(forward, phase)
            if name not in self.made or (through and name not in self.pullbacks):
                inner = {n: params[n] for n in forward.networks}
                self.made[name], self.pullbacks[name] = jax.vjp(
                    lambda p, f=forward: self._run(f, {**params, **p}, self.context), inner
                )
        values = {name: self.made[name] for name in phase.forwards}
        trained = {name: params[name] for name in phase.networks}
        (_, output), (gradients, cotangents) = jax.value_and_grad(
            lambda p, v: self._loss(phase, {**params, **p}, v, self.context), argnums=(0, 1), has_aux=True
        )(trained, values)
        for name in phase.forwards:
            through = _through(self.forwards[name], phase)
            if through:
                (more,) = self.pullbacks[name](cotangents[name])
                gradients |= {n: jax.tree.map(jnp.add, gradients[n], more[n]) for n in through}
        return gradients, output

    def _accumulated(self, phase: Phase, params: dict[str, Params]) -> tuple[dict[str, Params], PhaseOutput]:
        """Means over microbatches, one at a time; a pass that is differentiated is made anew, to save memory."""
        trained = {name: params[name] for name in phase.networks}
        through = [n for n in phase.forwards if _through(self.forwards[n], phase)]
        stored = {n: self.made[n] for n in phase.forwards if n not in through and n in self.made}
        parts = jax.tree.map(self._split, {k: self.context[k] for k in ('batch', 'memory')})

        def one(total: Any, inputs: tuple[Any, Any]) -> tuple[Any, Any]:
            part, values = inputs

            def loss(p: dict[str, Params]) -> tuple[jax.Array, tuple[PhaseOutput, Any]]:
                merged = {**params, **p}
                made = {
                    n: self._run(self.forwards[n], merged, part) for n in phase.forwards if n not in values
                }
                made = {**values, **made}
                value, output = self._loss(phase, merged, made, part)
                return value, (output, made)

            (_, (output, made)), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
            return jax.tree.map(jnp.add, total, gradients), (output, made)

        zeros = jax.tree.map(jnp.zeros_like, trained)
        total, (output, made) = jax.lax.scan(one, zeros, (parts, stored), length=self.microbatches)
        self.made |= made
        mean = jax.tree.map(lambda x: x.mean(0), (output.loss, output.scalars))
        memory = jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), output.memory)
        return jax.tree.map(lambda g: g / self.microbatches, total), PhaseOutput(*mean, memory)

    def _split(self, x: jax.Array) -> jax.Array:
        return x.reshape(self.microbatches, x.shape[0] // self.microbatches, *x.shape[1:])


def _update_side(
    side: SideState,
    phase: Phase,
    gradients: dict[str, Params],
    split: dict[str, Any],
    optimizers: dict[str, Optimizer],
    images_seen: jax.Array,
) -> tuple[SideState, dict[str, jax.Array]]:
    """Returns the side after the phase's optimizer step, and the norms of gradient, update and parameters."""
    params, optimizer_state = dict(side.params), dict(side.optimizer_state)
    squares = dict.fromkeys(('gradient_norm', 'update_norm', 'parameter_norm'), 0.0)
    for name in phase.networks:
        squared = collectives.squared_norm(gradients[name], split[name])
        direction, rate, optimizer_state[name] = optimizers[name].update(
            gradients[name],
            optimizer_state[name],
            params[name],
            images_seen=images_seen,
            norm=jnp.sqrt(squared),
        )
        params[name] = jax.tree.map(lambda p, d, rate=rate: p - rate * d, params[name], direction)
        squares['gradient_norm'] += squared
        # Of the direction: an update by itself would be one more copy of the parameters.
        squares['update_norm'] += rate**2 * collectives.squared_norm(direction, split[name])
        squares['parameter_norm'] += collectives.squared_norm(params[name], split[name])
    return SideState(params, optimizer_state), {name: jnp.sqrt(square) for name, square in squares.items()}


def _averages(average: dict[str, Params], params: dict[str, Params], decay: float) -> dict[str, Params]:
    """Returns the moving averages after one more step."""
    return {
        name: jax.tree.map(lambda a, p: a + (1 - decay) * (p - a), old, params[name])
        for name, old in average.items()
    }


def _find_fault(fault: Fault, step: jax.Array, scalars: dict[str, jax.Array]) -> Fault:
    """Returns the fault with the first non-finite of `scalars`, in their order, unless there was one before."""
    bad = ~jnp.isfinite(jnp.stack(list(scalars.values())))
    names = sorted(scalars)
    indices = jnp.array([names.index(name) for name in scalars])
    new = (fault.term < 0) & bad.any()
    return Fault(
        step=jnp.where(new, step, fault.step), term=jnp.where(new, indices[jnp.argmax(bad)], fault.term)
    )


def make_train_step(
    method: Method,
    networks: dict[str, Network],
    optimizers: dict[str, Optimizer],
    shardings: GanState,
    *,
    batch_size: int,
    accumulation: int = 1,
    average_decay: float = 0.0,
) -> TrainStep:
    """Returns `(state, batch, key) -> (state, scalars)`, jitted, with the state donated.

    Args:
      method: gives phases and losses.
      networks: the method's networks by name.
      optimizers: one for each network that a phase trains.
      shardings: who holds what of the state, as `experiment.state_shardings` gives it.
      batch_size: samples in a step over all devices.
      accumulation: parts that each device's share of the batch is worked through in.
      average_decay: decay of the moving averages at each step.
    """
    phases, mesh = method.phases(), shardings.step.mesh
    axes = sharding.batch_axes(mesh)
    split = jax.tree.map(lambda leaf: sharding.split_axis(leaf.spec), shardings.params)
    local = batch_size // sharding.batch_parts(mesh)

    def train_step(
        state: GanState, batch: dict[str, jax.Array], key: jax.Array
    ) -> tuple[GanState, dict[str, jax.Array]]:
        images_seen = state.step.astype(jnp.float32) * batch_size
        context = {
            'batch': {
                **to_model_batch(batch),
                'slot': jax.lax.axis_index(axes) * local + jnp.arange(local),
            },
            'memory': state.memory,
            'key': jax.random.fold_in(key, state.step),
            'images_seen': images_seen,
            'step': state.step,
        }
        gradients = _Gradients(method, networks, context, axes=axes, microbatches=accumulation)
        sides = {'generator': state.generator, 'discriminator': state.discriminator}
        memory, scalars = dict(state.memory), {}
        params = collectives.gather(state.params, split)
        for phase in phases:
            grads, output = gradients.of_phase(phase, params)
            own = {name: split[name] for name in phase.networks}
            grads, terms = collectives.means(grads, output.scalars, own, axes)
            sides[phase.side], norms = _update_side(
                sides[phase.side], phase, grads, own, optimizers, images_seen
            )
            params |= collectives.gather({n: sides[phase.side].params[n] for n in own}, own)
            gradients.parameters_changed(phase.networks)
            memory |= output.memory or {}
            scalars |= {f'{phase.name}/{name}': value for name, value in {**terms, **norms}.items()}
        average = _averages(state.average, sides['generator'].params, average_decay)
        fault = _find_fault(state.fault, state.step, scalars)
        return GanState(state.step + 1, **sides, average=average, memory=memory, fault=fault), scalars

    shared = sharding.replicated(mesh)
    batches = {
        field: sharding.batch_sharding(mesh, 4 if field in IMAGE_FIELDS else 1)
        for field in method.batch_fields
    }
    inputs, outputs = (shardings, batches, shared), (shardings, shared)
    step = train_step
    if axes:
        step = jax.shard_map(
            train_step,
            mesh=mesh,
            in_specs=jax.tree.map(sharding.manual_spec, inputs),
            out_specs=jax.tree.map(sharding.manual_spec, outputs),
            axis_names=set(axes),
            check_vma=False,
        )
    return jax.jit(step, in_shardings=inputs, out_shardings=outputs, donate_argnums=0)
