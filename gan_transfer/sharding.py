"""The mesh of devices and who holds what.

Three axes, each of which may be 1: the batch is split along `data` and `fsdp`, parameters, optimizer states and
averages along `fsdp`, the height of images along `spatial`. `data` and `fsdp` are handled by the training step itself
(`step.py`); `spatial` is left to the compiler, which exchanges the rows that convolutions need of a neighbour.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA, FSDP, SPATIAL = AXES = ('data', 'fsdp', 'spatial')
BATCH = (DATA, FSDP)  # the axes that the batch is split along
# An axis of a TPU's wiring may have to serve two of the mesh: 4x4 chips with `fsdp` 2.
PLACING = {'allow_split_physical_axes': True}
WHOLE = -1  # in place of a number: no axis of an array is split


def mesh_sizes(devices: int, *, data: int = 0, fsdp: int = 1, spatial: int = 1) -> tuple[int, int, int]:
    """Returns the sizes of the three axes over so many devices.

    Args:
      devices: how many there are.
      data, fsdp, spatial: the sizes asked for; a `data` of 0 is all that the others leave.

    Raises:
      ValueError: where they do not multiply to the devices.
    """
    check_sizes(data=data, fsdp=fsdp, spatial=spatial)
    if not data and devices % (fsdp * spatial):
        raise ValueError(
            f'mesh.fsdp x mesh.spatial is {fsdp} x {spatial} = {fsdp * spatial}, which does not divide the {devices} '
            'device(s) that there are'
        )
    data = data or devices // (fsdp * spatial)
    if data * fsdp * spatial != devices:
        raise ValueError(
            f'mesh.data x mesh.fsdp x mesh.spatial is {data} x {fsdp} x {spatial} = {data * fsdp * spatial}; there are '
            f'{devices} device(s)'
        )
    return data, fsdp, spatial


def check_sizes(*, data: int, fsdp: int, spatial: int) -> None:
    """Raises ValueError for sizes of axes that no number of devices has."""
    for name, size, least in ((DATA, data, 0), (FSDP, fsdp, 1), (SPATIAL, spatial, 1)):
        if size < least:
            raise ValueError(f'mesh.{name} is {size}; it must be from {least} on')


def make_mesh(
    devices: Sequence[Any] | None = None, *, data: int = 0, fsdp: int = 1, spatial: int = 1
) -> Mesh:
    """Returns the mesh over `devices` (all of every process by default), which may be ones that are only described.

    Raises:
      ValueError: as `mesh_sizes`.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = mesh_sizes(len(devices), data=data, fsdp=fsdp, spatial=spatial)
    placed = mesh_utils.create_device_mesh(sizes, devices, **PLACING)
    # Auto: inside jit the compiler places what shard_map leaves open; Explicit axes refuse a plain reshape.
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * 3)


def inference_mesh(devices: Sequence[Any], *, data: int, fsdp: int, spatial: int) -> Mesh:
    """Returns the mesh to translate with: of a training's `fsdp` and `spatial` as much as the devices allow."""
    del data
    spatial = math.gcd(spatial, len(devices))
    return make_mesh(devices, fsdp=math.gcd(fsdp, len(devices) // spatial), spatial=spatial)


def batch_parts(mesh: Mesh) -> int:
    """Returns into how many parts the batch is split."""
    return mesh.shape[DATA] * mesh.shape[FSDP]


def batch_axes(mesh: Mesh) -> tuple[str, ...]:
    """Returns the axes that the batch is split along; none where it stays whole."""
    return BATCH if batch_parts(mesh) > 1 else ()


def batch_sharding(mesh: Mesh, dimensions: int = 1) -> NamedSharding:
    """Returns who holds what of an array of samples: the leading axis is split, and so is the height of images.

    Args:
      mesh: the devices.
      dimensions: of the array; from four on it is one of images [b, ..., h, w, c].
    """
    inner = (*[None] * (dimensions - 4), SPATIAL) if dimensions >= 4 else ()
    return NamedSharding(mesh, PartitionSpec(BATCH, *inner))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def parameter_sharding(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """Returns who holds what of a parameter, or of an array that goes with one: `fsdp` splits one axis.

    It is the largest that can be divided, the first of equals; where there is none, everybody holds all.
    """
    parts = mesh.shape[FSDP]
    divisible = [axis for axis, size in enumerate(shape) if size and size % parts == 0]
    if parts == 1 or not divisible:
        return replicated(mesh)
    axis = max(divisible, key=lambda axis: shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, FSDP))


def split_axis(spec: PartitionSpec) -> int:
    """Returns the axis of a parameter that `fsdp` splits, or WHOLE."""
    return next((axis for axis, name in enumerate(spec) if name == FSDP), WHOLE)


def manual_spec(leaf: NamedSharding) -> PartitionSpec:
    """Returns the part of a sharding that the training step handles itself: all but `spatial`."""
    return PartitionSpec(*(None if name == SPATIAL else name for name in leaf.spec))


def process_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """Returns which rows of a global batch the devices of this process hold, ascending."""
    held = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in held]))


def from_all(mesh: Mesh, x: np.ndarray) -> jax.Array:
    """Returns the global array of samples which every process has whole; heights that cannot be split stay whole."""
    placed = batch_sharding(mesh, x.ndim)
    if x.ndim == 4 and x.shape[1] % mesh.shape[SPATIAL]:
        placed = batch_sharding(mesh)
    return jax.make_array_from_callback(x.shape, placed, lambda index: x[index])


def to_devices(mesh: Mesh, x: np.ndarray, rows: np.ndarray, batch_size: int) -> jax.Array:
    """Returns the global array of samples of which this process has some rows.

    Args:
      mesh: the devices.
      x: the values of `rows`.
      rows: as `process_rows` gives them, or more.
      batch_size: rows of the global array.
    """

    def part(index: tuple[slice, ...]) -> np.ndarray:
        places = np.searchsorted(rows, np.arange(batch_size)[index[0]])
        return x[(slice(places[0], places[-1] + 1), *index[1:])]

    shape = (batch_size, *x.shape[1:])
    return jax.make_array_from_callback(shape, batch_sharding(mesh, x.ndim), part)
