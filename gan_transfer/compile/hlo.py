"""Reads the text of a compiled XLA program: its instructions, what they move, and what devices send each other."""

import collections
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator

BITS = {
    **{'pred': 8, 's4': 4, 'u4': 4, 's8': 8, 'u8': 8, 'f8e4m3fn': 8, 'f8e5m2': 8, 'bf16': 16, 'f16': 16},
    **{'s16': 16, 'u16': 16, 'f32': 32, 's32': 32, 'u32': 32, 'f64': 64, 's64': 64, 'u64': 64, 'c64': 64},
}
COLLECTIVES = (
    *('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'ragged-all-to-all'),
    *('collective-permute', 'collective-broadcast'),
)
# They name data or hand it on, and move nothing themselves.
_FREE = {
    *('parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'after-all', 'partition-id', 'iota'),
    *('while', 'conditional', 'call', 'opt-barrier', 'copy-done', 'async-done', 'slice-done'),
}
_PARTS = {'slice', 'slice-start', 'dynamic-slice', 'gather'}  # they read no more than they write
_ARRAY = re.compile(r'([a-z]\w*)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?')
_INSTRUCTION = re.compile(r'\s+(?:ROOT )?%?(\S+) = ')
_COMPUTATION = re.compile(r'(ENTRY )?%?([\w.\-]+) \(.*\{$')
_CALLS = re.compile(
    r'(?:body|condition|to_apply|branch_computations|true_computation|false_computation|calls)='
)


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of an instruction's result.

    Attributes:
      bytes: of its numbers.
      padded_bytes: with what fills up the tiles of its layout: on a TPU rows of 8 and lanes of 128.
      in_main_memory: False for what the program keeps in a chip's own fast memory.
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    padded_bytes: int
    in_main_memory: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation: `name = arrays opcode(operands), attributes`."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str

    @property
    def scope(self) -> str:
        """Where in the traced function it comes from; '' where that is not told."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ''


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
class Program:
    """A compiled program: instructions by computation, and the name of the one that is run."""

    computations: dict[str, tuple[Instruction, ...]]
    entry: str

    def collectives(self) -> list[Collective]:
        """Returns every exchange between devices, in the order of the text."""
        return [
            _collective(instruction)
            for instructions in self.computations.values()
            for instruction in instructions
            if instruction.opcode.removesuffix('-start') in COLLECTIVES
        ]

    def loops(self) -> int:
        """Returns the number of while loops: what is inside one is counted once, however often it runs."""
        return sum(
            instruction.opcode == 'while'
            for instructions in self.computations.values()
            for instruction in instructions
        )

    def run(self) -> Iterator[Instruction]:
        """Yields the instructions of the entry and of the loops and branches below it, not the inside of fusions."""
        waiting, seen = [self.entry], set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for instruction in self.computations[name]:
                yield instruction
                if instruction.opcode in ('while', 'conditional', 'call'):
                    waiting += self._called(instruction)

    def _called(self, instruction: Instruction) -> list[str]:
        places = [match.end() for match in _CALLS.finditer(instruction.attributes)]
        texts = [re.match(r'\{[^}]*\}|[^,\s]+', instruction.attributes[place:])[0] for place in places]
        names = [name.strip(' %{}') for text in texts for name in text.split(',')]
        return [name for name in names if name in self.computations]

    def traffic(self) -> dict[str, 'Traffic']:
        """Returns what is read and written in main memory, by kind of instruction, largest first.

        An operand counts whole, also where a fusion reads a part of it: an upper estimate.
        """
        made = {
            instruction.name: instruction.arrays
            for instructions in self.computations.values()
            for instruction in instructions
        }
        found: dict[str, Traffic] = collections.defaultdict(Traffic)
        for instruction in self.run():
            if instruction.opcode in _FREE or instruction.opcode.removesuffix('-start') in COLLECTIVES:
                continue
            read = [array for operand in instruction.operands for array in made.get(operand, ())]
            if instruction.opcode in _PARTS:
                read = list(instruction.arrays)
            moved = [array for array in (*read, *instruction.arrays) if array.in_main_memory]
            found[_kind(instruction)] += Traffic(
                1, sum(array.bytes for array in moved), sum(array.padded_bytes for array in moved)
            )
        return dict(sorted(found.items(), key=lambda item: -item[1].padded_bytes))


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


def parse(text: str) -> Program:
    """Reads what `jax.stages.Compiled.as_text()` returns.

    Raises:
      ValueError: where it is no such text.
    """
    computations: dict[str, tuple[Instruction, ...]] = {}
    entry, name, lines = '', '', []
    for line in text.splitlines():
        heading = None if line.startswith((' ', '}')) else _COMPUTATION.match(line)
        if heading:
            name, lines = heading[2], []
            entry = name if heading[1] else entry
        elif line.startswith('}') and name:
            computations[name] = tuple(lines)
            name = ''
        elif name and _INSTRUCTION.match(line):
            lines.append(_instruction(line))
    if entry not in computations:
        raise ValueError('no compiled program: the text has no ENTRY computation')
    return Program(computations, entry)


def _instruction(line: str) -> Instruction:
    match = _INSTRUCTION.match(line)
    result = _closed(line, match.end()) if line[match.end()] == '(' else line.index(' ', match.end())
    call = line.index('(', result)
    end = _closed(line, call)
    return Instruction(
        name=match[1],
        opcode=line[result:call].strip(),
        arrays=tuple(_arrays(line[match.end() : result])),
        operands=tuple(re.findall(r'%([\w.\-]+)', line[call:end])),
        attributes=line[end:],
    )


def _closed(text: str, start: int) -> int:
    """Returns the place behind the bracket that closes the one at `start`."""
    depth = 0
    for match in re.compile(r'[()]').finditer(text, start):
        depth += 1 if match[0] == '(' else -1
        if not depth:
            return match.end()
    raise ValueError(f'an open bracket in the line {text[:80]!r}')


def _arrays(text: str) -> Iterator[Array]:
    for dtype, dimensions, order, placed in _ARRAY.findall(text):
        if dtype in BITS:
            shape = tuple(int(size) for size in dimensions.split(',') if size)
            minor_first = [int(axis) for axis in order.split(',') if axis]
            yield Array(
                dtype=dtype,
                shape=shape,
                bytes=math.prod(shape) * BITS[dtype] // 8,
                padded_bytes=math.prod(_padded(shape, minor_first, placed)) * BITS[dtype] // 8,
                in_main_memory='S(1)' not in placed,
            )


def _padded(shape: tuple[int, ...], minor_first: list[int], placed: str) -> list[int]:
    """The shape with its minor axes filled up to whole tiles, such as `T(8,128)`: rows, lanes."""
    tile = re.search(r'T\(([\d,]+)\)', placed)
    padded = list(shape)
    if tile:
        sizes = [int(size) for size in tile[1].split(',')]
        for axis, size in zip(minor_first, reversed(sizes), strict=False):
            padded[axis] = -(-shape[axis] // size) * size
    return padded


def _collective(instruction: Instruction) -> Collective:
    opcode = instruction.opcode.removesuffix('-start')
    arrays = instruction.arrays
    if opcode != instruction.opcode and opcode in ('all-gather', 'collective-permute'):
        arrays = arrays[
            len(instruction.operands) : 2 * len(instruction.operands)
        ]  # behind a copy of the operands
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
    """A name for what an instruction does: its opcode, and that of a fusion by what it is made of."""
    if instruction.opcode == 'fusion':
        return 'fused convolution' if 'conv_general_dilated' in instruction.scope else 'fused elementwise'
    return instruction.opcode.removesuffix('-start')


def total(traffic: Iterable[Traffic]) -> Traffic:
    """Returns the sum over kinds."""
    return sum(traffic, Traffic())
