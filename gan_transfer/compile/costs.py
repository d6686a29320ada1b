"""What a compiled program moves in memory, sends between devices, and computes."""

import collections
import dataclasses
import math
import re
from collections.abc import Iterable

from gan_transfer.compile.hlo import Instruction, Program

COLLECTIVES = (
    *('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'ragged-all-to-all'),
    *('collective-permute', 'collective-broadcast'),
)
# They name data or hand it on, and move nothing themselves.
_FREE = {
    *('parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'after-all', 'partition-id', 'iota'),
    *('while', 'conditional', 'call', 'opt-barrier', 'copy-done', 'async-done', 'slice-done'),
    *(form for name in COLLECTIVES for form in (name, f'{name}-start', f'{name}-done')),
}
_PARTS = {'slice', 'dynamic-slice', 'gather'}  # they read no more than they write


@dataclasses.dataclass(frozen=True)
class Collective:
    """What devices exchange in one instruction.

    Attributes:
      opcode: without the `-start` of its asynchronous form.
      dtypes: of the arrays, sorted.
      bytes: of the whole arrays that each device has at the end, or at the start where that is more.
      group: devices that exchange with one another; 2 for a permutation.
    """

    opcode: str
    dtypes: tuple[str, ...]
    bytes: int
    group: int


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Instructions of one kind and the bytes that they read and write, without and with padding."""

    count: int = 0
    bytes: int = 0
    padded_bytes: int = 0

    def __add__(self, other: 'Traffic') -> 'Traffic':
        return Traffic(
            self.count + other.count, self.bytes + other.bytes, self.padded_bytes + other.padded_bytes
        )


def collectives(program: Program) -> list[Collective]:
    """Returns every exchange between devices, in the order of the text; one of a device with itself is none.

    A TPU's program writes one that goes on beside other work into each of the fusions that hide it: those with one
    `chain_id` are one. A scattered sum is on some TPUs an all-reduce inside of a fusion that keeps a slice of it.
    """
    found, hidden = [], set()
    for name, instructions in program.computations.items():
        for instruction in instructions:
            if instruction.opcode.removesuffix('-start') not in COLLECTIVES:
                continue
            one = _collective(instruction)
            if name.startswith('all-reduce-scatter'):
                one = dataclasses.replace(one, opcode='reduce-scatter')
            chain = re.search(r'chain_id="(\d+)"', instruction.attributes)
            if chain and (chain[1], one) in hidden:
                continue
            hidden |= {(chain[1], one)} if chain else set()
            found.append(one)
    return [one for one in found if one.group > 1]


def traffic(program: Program) -> dict[str, Traffic]:
    """Returns what is read and written in main memory, by kind of instruction, largest first.

    An operand counts whole, also where a fusion reads a part of it: an upper estimate.
    """
    made = {
        instruction.name: instruction.arrays
        for instructions in program.computations.values()
        for instruction in instructions
    }
    found: dict[str, Traffic] = collections.defaultdict(Traffic)
    for instruction in program.run():
        if instruction.opcode in _FREE:
            continue
        read = [array for operand in instruction.operands for array in made.get(operand, ())]
        written = instruction.arrays
        if instruction.opcode == 'copy-start':
            written = written[:1]  # behind it stands the source once more
        elif instruction.opcode == 'slice-start':
            # Its operands, the result, and what it waits by; of the operand it reads as much as it writes.
            written = written[1:2]
            read = [dataclasses.replace(written[0], in_main_memory=read[0].in_main_memory)]
        elif instruction.opcode in _PARTS:
            read = list(written)
        moved = [array for array in (*read, *written) if array.in_main_memory]
        found[_kind(instruction)] += Traffic(
            1, sum(array.bytes for array in moved), sum(array.padded_bytes for array in moved)
        )
    return dict(sorted(found.items(), key=lambda item: -item[1].padded_bytes))


def uses_fast_memory(program: Program) -> bool:
    """Whether the program keeps arrays in a chip's own fast memory, as libtpu's does when it optimizes."""
    return any(not array.in_main_memory for instruction in program.run() for array in instruction.arrays)


def library_flops(program: Program) -> int:
    """Returns the operations of convolutions that are calls of cuDNN, those with padded zeros too.

    What the compiler's own count leaves out. All three forms relate an output, a kernel and its output channels.
    """
    made = {one.name: one.arrays for one in program.run()}
    total = 0
    for one in program.run():
        form = re.search(
            r'"__cudnn\$conv(Forward|BackwardInput|BackwardFilter|BiasActivationForward)"', one.attributes
        )
        if one.opcode != 'custom-call' or not form:
            continue
        first, second = (made[name][0] for name in one.operands[:2])
        result = one.arrays[0]
        output, kernel = {
            'BackwardInput': (first, second),
            'BackwardFilter': (second, result),
        }.get(form[1], (result, second))
        labels = re.search(r'dim_labels=\w+_(\w+)->', one.attributes)[1]
        total += 2 * math.prod(output.shape) * math.prod(kernel.shape) // kernel.shape[labels.index('o')]
    return total


def _collective(instruction: Instruction) -> Collective:
    opcode = instruction.opcode.removesuffix('-start')
    arrays = instruction.arrays
    # The results of an asynchronous one stand behind its operands, but for an all-reduce's.
    if opcode not in (instruction.opcode, 'all-reduce'):
        count = len(instruction.operands)
        arrays = arrays[count : 2 * count]
    group = _group_size(instruction.attributes)
    scattered = group if opcode == 'reduce-scatter' else 1
    return Collective(
        opcode=opcode,
        dtypes=tuple(sorted({array.dtype for array in arrays})),
        bytes=sum(array.bytes for array in arrays) * scattered,
        group=group,
    )


def _group_size(attributes: str) -> int:
    """Devices in a group: of `{{0,1},{2,3}}`, of `[2,2]<=[4]`, or 2 where pairs are listed."""
    listed = re.search(r'replica_groups=\{\{([\d,]*)\}', attributes)
    if listed:
        return len(listed[1].split(','))
    counted = re.search(r'replica_groups=(?:\w+\[\S*\]\s*)?\[\d+,(\d+)\]', attributes)
    return int(counted[1]) if counted else 2


def _kind(instruction: Instruction) -> str:
    """What an instruction does: convolve, with what is fused to it, compute by element, or its opcode."""
    opcode = instruction.opcode.removesuffix('-start')
    if opcode == 'custom-call' and '__cudnn$conv' in instruction.attributes:
        return 'convolution'
    if opcode == 'fusion':
        return 'convolution' if 'conv_general_dilated' in instruction.scope else 'elementwise'
    return opcode


def total(traffic: Iterable[Traffic]) -> Traffic:
    """Returns the sum over kinds."""
    return sum(traffic, Traffic())
