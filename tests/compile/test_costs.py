"""Compiled programs of a small step on four v5e chips and on four H100, shortened to what is looked for."""

import pathlib

import pytest

from gan_transfer.compile.costs import (
    Collective,
    Traffic,
    collectives,
    library_flops,
    total,
    traffic,
    uses_fast_memory,
)
from gan_transfer.compile.hlo import Program, parse

COLLECTIVES = {
    'v5e': [
        Collective('all-reduce', ('f32',), 4 * (3 * 3 * 8 * 8 + 256), 4),
        Collective('collective-permute', ('bf16',), 16, 2),
    ],
    'h100': [
        Collective('all-gather', ('bf16',), 16, 4),
        Collective('all-reduce', ('f32',), 4 * 3 * 3 * 8 * 8, 2),
        Collective('reduce-scatter', ('f32',), 4 * 256, 4),
    ],
}


def recorded(name: str) -> Program:
    return parse(pathlib.Path(__file__).with_name(f'{name}.hlo').read_text())


@pytest.mark.parametrize('name', COLLECTIVES)
def test_every_exchange_is_found_with_its_bytes_and_devices(name):
    assert collectives(recorded(name)) == COLLECTIVES[name]


def test_an_exchange_that_others_hide_is_counted_once_and_a_scattered_sum_as_one():
    """The forms of a program for v5e with `fsdp`, shortened."""
    four = 'replica_groups={{0,1,2,3}}'
    gather = (
        f'bf16[64,8]{{1,0}} all-gather(%part), {four}, dimensions={{0}}, frontend_attributes={{chain_id="'
    )
    program = parse(
        f"""HloModule jit_step

%async_collective_fusion (part: bf16[16,8]) -> bf16[64,8] {{
  %part = bf16[16,8]{{1,0}} parameter(0)
  ROOT %all-gather.1 = {gather}0"}}
}}

%async_collective_done (part: bf16[16,8]) -> bf16[64,8] {{
  %part = bf16[16,8]{{1,0}} parameter(0)
  ROOT %all-gather.2 = {gather}0"}}
}}

%all-reduce-scatter.1 (input: f32[64,8]) -> f32[16,8] {{
  %input = f32[64,8]{{1,0}} parameter(0)
  %all-reduce.6 = f32[64,8]{{1,0}} all-reduce(%input), {four}, to_apply=%add
  ROOT %dynamic-slice.13 = f32[16,8]{{1,0}} dynamic-slice(%all-reduce.6), dynamic_slice_sizes={{16,8}}
}}

ENTRY %main (part: bf16[16,8]) -> bf16[64,8] {{
  %part = bf16[16,8]{{1,0}} parameter(0)
  %all-gather.3 = {gather}1"}}
  ROOT %all-gather.4 = {gather.replace('64,8', '8,8')}1"}}
}}
"""
    )
    gathered = Collective('all-gather', ('bf16',), 2 * 64 * 8, 4)
    scattered = Collective('reduce-scatter', ('f32',), 4 * 64 * 8, 4)
    another = Collective('all-gather', ('bf16',), 2 * 8 * 8, 4)
    assert collectives(program) == [gathered, scattered, gathered, another]


def test_traffic_counts_main_memory_once_with_and_without_padding():
    program = recorded('v5e')
    found = traffic(program)
    images, kernel = 2 * 2 * 64 * 64 * 8, 4 * 3 * 3 * 8 * 8
    # Rows of 8 and lanes of 128: 64 columns become 128, and so do 8 channels.
    assert found['convolution'] == Traffic(1, images + kernel, 2 * images + 16 * kernel)
    assert found['slice'].bytes == 2 * 16 + 4 * 128  # and not the whole arrays
    # What the loop adds up, seen through the names that hand it on.
    assert found['add'].bytes == 3 * 4 * 64 * 64 * 8
    assert program.count('while') == 1
    # Asynchronous ones hand on their source and what they wait by: it is read once, and what is in fast memory is free.
    assert found['copy'].bytes == kernel
    assert total(found.values()).count == 7
    assert not any('all-reduce' in kind or 'done' in kind for kind in found)


def test_fast_memory_is_seen():
    assert uses_fast_memory(recorded('v5e'))
    assert not uses_fast_memory(recorded('h100'))


def test_convolutions_of_a_library_are_named_and_counted():
    program = recorded('h100')
    bytes = 2 * 2 * (2 * 64 * 64 * 8) + 2 * (8 * 3 * 3 * 8)  # images in and out, kernel
    assert traffic(program)['convolution'] == Traffic(1, bytes, bytes)
    assert library_flops(program) == 2 * (2 * 64 * 64 * 8) * 3 * 3 * 8


@pytest.mark.parametrize(
    ('form', 'operands', 'result'),
    [('Forward', 'xk', 'y'), ('BackwardInput', 'yk', 'x'), ('BackwardFilter', 'xy', 'k')],
)
def test_operations_of_a_convolution_are_those_of_its_gradients_too(form, operands, result):
    shapes = {'x': 'f32[2,32,32,3]', 'y': 'f32[2,16,16,8]', 'k': 'f32[8,3,3,3]'}
    parameters = '\n'.join(
        f'  %{name} = {shape}{{3,2,1,0}} parameter({index})'
        for index, (name, shape) in enumerate(shapes.items())
    )
    given = ', '.join(f'%{name}' for name in operands)
    program = parse(
        f"""HloModule jit_step

ENTRY %main (a: f32[1]) -> f32[1] {{
{parameters}
  ROOT %made = ({shapes[result]}{{3,2,1,0}}, u8[0]{{0}}) custom-call({given}), dim_labels=b01f_o01i->b01f, \
custom_call_target="__cudnn$conv{form}"
}}
"""
    )
    assert library_flops(program) == 2 * (2 * 16 * 16 * 8) * 3 * 3 * 3


def test_both_branches_count_and_tiles_are_filled_up():
    program = parse("""HloModule jit_step

%one (a: f32[9,130]) -> f32[9,130] {
  %a = f32[9,130]{1,0:T(8,128)} parameter(0)
  ROOT %negate.1 = f32[9,130]{1,0:T(8,128)} negate(%a)
}

%other (b: f32[9,130]) -> f32[9,130] {
  %b = f32[9,130]{1,0:T(8,128)} parameter(0)
  ROOT %sine.1 = f32[9,130]{1,0:T(8,128)} sine(%b)
}

ENTRY %main (which: s32[], x: f32[9,130]) -> f32[9,130] {
  %which = s32[] parameter(0)
  %x = f32[9,130]{1,0:T(8,128)} parameter(1)
  ROOT %made = f32[9,130]{1,0:T(8,128)} conditional(%which, %x, %x), branch_computations={%one, %other}
}
""")
    one = Traffic(1, 2 * 4 * 9 * 130, 2 * 4 * 16 * 256)
    assert traffic(program) == {'negate': one, 'sine': one}


def test_what_is_no_program_is_refused():
    with pytest.raises(ValueError, match='no ENTRY'):
        parse('HloModule empty\n')
