"""Chips and the slices of them that can be had: what a step is compiled for and measured against.

Numbers are the vendors', not measured: https://cloud.google.com/tpu/docs/v4, .../v5e, .../v5p, .../v6e ("System
architecture", "Supported configurations") and NVIDIA's H100 data sheet (SXM5, dense, 80 GB; NVLink 4; one ConnectX-7 of
400 Gbit/s for each GPU between hosts).
"""

import dataclasses
import math

from gan_transfer.errors import UserError

GIB = 2**30
GPUS_PER_HOST = 8
_SQUARES = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
_CUBES = (
    *('2x2x1', '2x2x2', '2x2x4', '2x4x4', '4x4x4', '4x4x8', '4x8x8', '8x8x8', '8x8x16', '8x16x16'),
    *('16x16x16', '16x16x24'),
)


@dataclasses.dataclass(frozen=True)
class Chip:
    """What one device has.

    Attributes:
      platform: JAX's name of it.
      kinds: what JAX calls it, its `device_kind`.
      flops: bfloat16 operations a second.
      float32_flops: the same by JAX's default for float32: passes of bfloat16 on a TPU, TF32 on a GPU.
      memory: bytes that a program can have: what libtpu gives as its limit; of an H100's 80 GB what its driver leaves.
      memory_bandwidth: bytes a second.
      link: bytes a second, one way, of one link to a neighbour (TPU) or of all links to the GPUs of the host.
      network: bytes a second, one way, between hosts, for each GPU; 0 for TPUs, whose slices need none.
      slices: shapes of the slices there are (TPU), or numbers of GPUs.
    """

    platform: str
    kinds: tuple[str, ...]
    flops: float
    float32_flops: float
    memory: int
    memory_bandwidth: float
    link: float
    network: float
    slices: tuple[str, ...]


CHIPS = {
    'v4': Chip('tpu', ('TPU v4',), 275e12, 275e12, int(30.75 * GIB), 1228e9, 50e9, 0, _CUBES[:10]),
    'v5e': Chip(
        'tpu', ('TPU v5 lite', 'TPU v5e'), 197e12, 197e12, int(15.75 * GIB), 819e9, 50e9, 0, _SQUARES
    ),
    'v5p': Chip('tpu', ('TPU v5', 'TPU v5p'), 459e12, 459e12, int(95.74 * GIB), 2765e9, 100e9, 0, _CUBES),
    'v6e': Chip(
        'tpu', ('TPU v6 lite', 'TPU v6e'), 918e12, 918e12, int(31.25 * GIB), 1640e9, 100e9, 0, _SQUARES
    ),
    'h100': Chip(
        *('cuda', ('NVIDIA H100 80GB HBM3',), 989e12, 494.5e12, 84_929_347_584, 3352e9, 450e9, 50e9),
        slices=('1', '2', '4', '8', '16', '32', '64', '128', '256', '512'),
    ),
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips that are wired together, such as `v5e:16x16`."""

    name: str
    chip: Chip

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.name.partition(':')[2].split('x'))

    @property
    def devices(self) -> int:
        return math.prod(self.shape)

    @property
    def wrap(self) -> tuple[bool, ...]:
        """Along which axes the ends are linked: of 16 chips in 2-D, all of whole 4x4x4 cubes in 3-D."""
        if len(self.shape) == 3:
            return (all(size % 4 == 0 for size in self.shape),) * 3
        return tuple(size == 16 for size in self.shape)

    @property
    def exchange_bandwidth(self) -> float:
        """Bytes a second that a device sends while all of them reduce; infinite where there is one.

        TPU: rings along every axis at once, both ways round where the axis wraps. GPU: sums within each host, then
        between hosts, each GPU an eighth of the bytes.
        """
        if self.devices == 1:
            return math.inf
        if self.chip.network:
            hosts = -(-self.devices // GPUS_PER_HOST)
            return 1 / (1 / self.chip.link + (hosts - 1) / hosts / GPUS_PER_HOST / self.chip.network)
        ways = [2 if wraps else 1 for size, wraps in zip(self.shape, self.wrap, strict=True) if size > 1]
        return self.chip.link * sum(ways)

    def bandwidth(self, group: int) -> float:
        """Bytes a second that a device sends while groups of so many reduce.

        Of a part of the slice it is the least that there may be, since the wiring of a group is not looked up: one link
        (TPU), or the network where there are several hosts (GPU).
        """
        if group == self.devices:
            return self.exchange_bandwidth
        return self.chip.network if self.chip.network and self.devices > GPUS_PER_HOST else self.chip.link


def find_slice(name: str) -> Slice:
    """Returns the slice `CHIP:SHAPE`.

    Raises:
      UserError: for one that there is not, with those that there are.
    """
    kind, _, shape = name.partition(':')
    if kind not in CHIPS:
        raise UserError(f'unknown chip in --topology={name}; choices: {", ".join(f"{c}:..." for c in CHIPS)}')
    if shape not in CHIPS[kind].slices:
        choices = ', '.join(f'{kind}:{there}' for there in CHIPS[kind].slices)
        raise UserError(f'there is no slice --topology={name}; choices: {choices}')
    return Slice(name, CHIPS[kind])


def find_chip(device_kind: str) -> Chip | None:
    """Returns the chip that JAX calls `device_kind`, or None for one that is not in the table."""
    return next((chip for chip in CHIPS.values() if device_kind in chip.kinds), None)
