"""Reads the text of a compiled XLA program: computations of instructions, and the arrays that they make."""

import dataclasses
import math
import re
from collections.abc import Iterator

BITS = {
    **{'pred': 8, 's4': 4, 'u4': 4, 's8': 8, 'u8': 8, 'f8e4m3fn': 8, 'f8e5m2': 8, 'bf16': 16, 'f16': 16},
    **{'s16': 16, 'u16': 16, 'f32': 32, 's32': 32, 'u32': 32, 'f64': 64, 's64': 64, 'u64': 64, 'c64': 64},
}
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
class Program:
    """A compiled program: instructions by computation, and the name of the one that is run."""

    computations: dict[str, tuple[Instruction, ...]]
    entry: str

    def count(self, opcode: str) -> int:
        """Returns the number of instructions of one kind.

        What is inside of a loop, `while`, is counted once, however often it runs, and a branch, `conditional`, as if it
        were taken.
        """
        return sum(
            instruction.opcode == opcode
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
