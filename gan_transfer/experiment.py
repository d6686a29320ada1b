"""From a config to something that runs: method, networks, optimizers, first state, step and translation."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from gan_transfer import data, processes, random, sharding, step
from gan_transfer.errors import from_user
from gan_transfer.importers import feature_weights
from gan_transfer.methods import METHODS, names
from gan_transfer.methods.contract import Method, Network, NetworkSettings
from gan_transfer.optimizer import Optimizer, make_optimizer
from gan_transfer.state import SIDES, Fault, GanState, Params, SideState, copy


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A method on a mesh, with everything shaped and jitted.

    Attributes:
      train_step: (state, batch, key) -> (state, scalars by name); donates the state.
      abstract_state: the state's shapes with shardings, which is what a checkpoint is restored into.
    """

    method: Method
    networks: dict[str, Network]
    optimizers: dict[str, Optimizer]
    mesh: Mesh
    train_step: step.TrainStep
    abstract_state: GanState
    _initialize: Any
    _translate: Any

    def init(self, seed: int) -> GanState:
        """Returns the first state, on the mesh."""
        return self._initialize(jax.random.key(seed))

    def translate(self, params: dict[str, Params], batch: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        """Returns translated images [b, h, w, 3] in about [-1, 1]; images in `batch` are uint8 or in [-1, 1]."""
        return self._translate(params, batch, key)


def make_method(config: Any) -> Method:
    """Returns the method of `config.method`: `name` and hyper-parameters. ValueError names what is wrong."""
    fields = dict(config.method)
    name = fields.pop('name')
    if name not in METHODS:
        raise ValueError(f'unknown method {name!r}; choose one of {", ".join(METHODS)}')
    known = {field.name for field in dataclasses.fields(METHODS[name])}
    for field in fields:
        if field not in known:
            raise ValueError(f'{name} has no hyper-parameter {field!r}; it has {", ".join(sorted(known))}')
    return METHODS[name](**fields)


def make_state(
    key: jax.Array,
    method: Method,
    networks: dict[str, Network],
    optimizers: dict[str, Optimizer],
    *,
    batch_size: int,
    image_size: int,
    average_decay: float,
) -> GanState:
    """Returns the first state. Every network starts from a key of its own; averages start as copies."""
    params = {}
    for name, network in networks.items():
        inputs = [jnp.zeros(x.shape, x.dtype) for x in network.inputs]
        if network.pretrained:
            loaded = feature_weights.pretrained(network.pretrained)
            params[name] = jax.tree.map(jnp.asarray, loaded)
        else:
            params[name] = network.module.init(random.named(key, name), *inputs)['params']
    sides = {}
    for side in SIDES:
        names = [name for name in networks if networks[name].side == side]
        sides[side] = SideState(
            params={name: params[name] for name in names},
            optimizer_state={
                name: optimizers[name].direction.init(params[name]) for name in names if name in optimizers
            },
        )
    averaged = [name for name in networks if networks[name].averaged and average_decay]
    return GanState(
        step=jnp.zeros((), jnp.int32),
        **sides,
        average={name: copy(params[name]) for name in averaged},
        memory=method.memory(batch_size, image_size),
        fault=Fault(jnp.full((), -1, jnp.int32), jnp.full((), -1, jnp.int32)),
    )


def open_dataset(config: Any) -> data.Dataset:
    """Opens the data of a config in all processes of a run, in the first before the others, which it prepares for.

    Raises:
      UserError: where it cannot be opened, or processes, which may have a cache each, differ in what they can read.
    """
    with from_user():
        dataset = processes.after_the_first(lambda: data.open_dataset(config))
    processes.check_alike(
        dataset.found,
        'the images that can be read differ from process to process; remove checked_*.json from data.cache on all '
        'machines to have all looked at again',
    )
    return dataset


def make_experiment(config: Any, *, domains: int, mesh: Mesh) -> Experiment:
    """Builds everything a config describes; nothing is computed yet.

    Args:
      config: the resolved config.
      domains: how many domains the data has.
      mesh: the devices.
    """
    method = make_method(config)
    method.check(config.image_size, domains)
    settings = NetworkSettings(
        image_size=config.image_size,
        domains=domains,
        dtype=jnp.dtype(config.compute_dtype),
        rematerialize=config.rematerialize,
    )
    networks = method.networks(settings)
    names.check(method, networks)
    for name in config.optimizer.networks:
        if name not in networks:
            raise ValueError(f'optimizer.networks has {name!r}; the networks are {", ".join(networks)}')
    trained = method.trained()
    optimizers = {
        name: make_optimizer(config.optimizer, name, config.train_images)
        for name in networks
        if name in trained
    }
    initialize = functools.partial(
        make_state,
        method=method,
        networks=networks,
        optimizers=optimizers,
        batch_size=config.batch_size,
        image_size=config.image_size,
        average_decay=config.average_decay,
    )
    abstract = jax.eval_shape(initialize, jax.random.key(0))
    shardings = state_shardings(mesh, abstract)
    train_step = step.make_train_step(
        method,
        networks,
        optimizers,
        shardings,
        batch_size=config.batch_size,
        accumulation=config.accumulation,
        average_decay=config.average_decay,
    )

    def translate(params: dict[str, Params], batch: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        # Else the compiler might move images about in place of weights.
        params = jax.lax.with_sharding_constraint(params, sharding.replicated(mesh))
        return method.translate(step.network_view(networks, params), step.to_model_batch(batch), key)

    return Experiment(
        method=method,
        networks=networks,
        optimizers=optimizers,
        mesh=mesh,
        train_step=train_step,
        abstract_state=jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, shardings
        ),
        _initialize=jax.jit(initialize, out_shardings=shardings, compiler_options=_run_once(mesh)),
        _translate=jax.jit(translate),
    )


def _run_once(mesh: Mesh) -> dict[str, Any]:
    """Returns compiler options for a program that is run once: on a CPU a third of the time to compile."""
    on_cpu = mesh.devices.flat[0].platform == 'cpu'
    return {'xla_backend_optimization_level': 0} if on_cpu else {}


def state_shardings(mesh: Mesh, state: GanState) -> GanState:
    """Returns who holds what of a state, which may be abstract: the memory goes with the batch."""
    shared = sharding.replicated(mesh)

    def parameters(tree: Any) -> Any:
        return jax.tree.map(lambda x: sharding.parameter_sharding(mesh, x.shape), tree)

    def memory(x: jax.ShapeDtypeStruct) -> NamedSharding:
        # A run is also opened to translate, on devices that may not divide its batch, or its images' height.
        split = sharding.batch_sharding(mesh, x.ndim)
        sizes = (
            mesh.shape[sharding.SPATIAL]
            if name == sharding.SPATIAL
            else sharding.batch_parts(mesh)
            if name
            else 1
            for name in split.spec
        )
        divides = all(length % size == 0 for length, size in zip(x.shape, sizes, strict=False))
        return split if divides else shared

    return GanState(
        step=shared,
        generator=parameters(state.generator),
        discriminator=parameters(state.discriminator),
        average=parameters(state.average),
        memory=jax.tree.map(memory, state.memory),
        fault=Fault(shared, shared),
    )
