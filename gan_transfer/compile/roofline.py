"""How long a step takes at least, if a chip did nothing but compute, nothing but move bytes, or both at full speed."""

import dataclasses
from collections.abc import Sequence

from gan_transfer.compile.chips import Chip, Slice
from gan_transfer.compile.costs import Collective


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of one step, from a chip's published speeds.

    Attributes:
      compute: all operations at the chip's peak.
      memory: all bytes at the bandwidth of its main memory.
      exchange: all collectives, one after the other, by their bytes: a collective's latency is not counted.
      step: the longer of the first two and then the exchange, which nothing hides: no overlap is assumed.
      efficiency: images a second and device against those of a device alone with its share of the batch.
    """

    compute: float
    memory: float
    exchange: float

    @property
    def step(self) -> float:
        return max(self.compute, self.memory) + self.exchange

    @property
    def efficiency(self) -> float:
        return max(self.compute, self.memory) / self.step


def estimate(
    chip: Chip,
    flops: float,
    moved: float,
    collectives: Sequence[Collective],
    part: Slice | None,
    dtype: str = 'bfloat16',
) -> Roofline:
    """Returns the roofline of a device's share of a step.

    Args:
      chip: whose speeds count.
      flops: operations of one device.
      moved: bytes that one device reads and writes in its main memory.
      collectives: what it exchanges.
      part: the slice that it is of; None: devices that are there, wired in a way that is not known.
      dtype: that the networks compute in.
    """
    exchange = sum(_seconds(chip, one, part) for one in collectives)
    peak = chip.flops if dtype == 'bfloat16' else chip.float32_flops
    return Roofline(flops / peak, moved / chip.memory_bandwidth, exchange)


def _seconds(chip: Chip, one: Collective, part: Slice | None) -> float:
    """In rings, where every device sends all parts but its own: once to gather or scatter, twice to reduce for all."""
    if one.opcode == 'collective-permute':  # to a neighbour
        return one.bytes / chip.link
    bandwidth = part.bandwidth(one.group) if part else chip.link
    times = 2 if one.opcode == 'all-reduce' else 1
    return times * one.bytes * (one.group - 1) / one.group / bandwidth
