"""The mesh of devices and who holds what: the batch is split along `data`, everything else is on every device."""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = 'data'


def make_mesh(devices: list[Any] | None = None) -> Mesh:
    """Returns the mesh over `devices` (all of every process by default): one axis, `data`."""
    devices = jax.devices() if devices is None else devices
    # Auto: inside jit the compiler places what shard_map leaves open; Explicit axes refuse a plain reshape.
    return jax.make_mesh((len(devices),), (DATA,), axis_types=(AxisType.Auto,), devices=devices)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Leading axis over `data`."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())
