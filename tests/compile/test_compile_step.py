"""The mode from the command line, on the devices that are there, its mistakes, and the reports of the docs."""

import dataclasses
import itertools
import json
import types

import jax
import pytest
from jax.experimental import mesh_utils

from gan_transfer import sharding
from gan_transfer.compile import compile_step, tables
from gan_transfer.compile.chips import CHIPS, GIB, find_slice
from gan_transfer.errors import UserError
from gan_transfer.experiment import make_experiment
from tests import command
from tests.tiny import make_config

REPORTS = command.ROOT / 'docs' / 'scaling'


@pytest.mark.slow
def test_the_step_of_a_config_is_compiled_and_reported(tmp_path):
    path = tmp_path / 'reports' / 'tiny.json'
    # Fewer applications of the generators compile faster.
    arguments = ('--mode=compile', *command.TINY_CYCLEGAN, '--config.method.identity_weight=0')
    out = command.launch(*arguments, f'--output={path}').stdout
    report = json.loads(path.read_text())
    assert (report['devices'], report['batch_size'], report['batch_per_device']) == (2, 4, 2)
    assert report['topology'] == 'present'
    # One exchange for the whole step: the gradients of every network in float32, and the scalars.
    (exchange,) = report['collectives']
    assert (exchange['opcode'], exchange['dtypes'], exchange['count']) == ('all-reduce', ['f32'], 1)
    assert 0 <= exchange['bytes'] - 4 * report['parameters'] < 400
    # The state is donated: most of what comes in goes out in its place.
    assert report['memory']['donated_bytes'] > 0.9 * report['memory']['arguments_bytes']
    assert report['flops'] > 1e8
    assert report['traffic']['convolution']['bytes'] > 1e6
    # What a CPU could do at best is not known.
    assert report['fits'] is report['roofline'] is None
    assert 'what the device has is not known' in out
    with pytest.raises(UserError, match=r'tiny\.json exists; --overwrite'):
        compile_step.compile_step(None, output=str(path))


@pytest.mark.slow
def test_what_fits_and_how_long_it_takes_follows_from_the_chip():
    config = make_config('pix2pix', method={'r1_weight': 1.0, 'regularize_every': 4}, batch_size=2)
    experiment = make_experiment(config, domains=2, mesh=sharding.make_mesh(spatial=2))
    report = compile_step.describe(config, experiment, None, jax.devices())
    assert (report['devices'], report['batch_per_device']) == (4, 1), 'two devices share an image'
    compiled = compile_step.lower_step(config, experiment).compile()
    memory = compiled.memory_analysis()
    needed = memory.peak_memory_in_bytes + memory.generated_code_size_in_bytes
    for spare, fits in ((0, True), (-1, False)):
        chip = dataclasses.replace(CHIPS['v5e'], memory=needed + spare)
        found = compile_step.measure(compiled, config, None, chip)
        assert found['fits'] is fits
    line = found['roofline']
    assert line['compute_seconds'] == pytest.approx(found['flops'] / 197e12)
    assert line['memory_seconds'] == pytest.approx(found['bytes'] / 819e9)
    assert line['step_seconds'] == pytest.approx(
        max(line['compute_seconds'], line['memory_seconds']) + line['exchange_seconds']
    )
    assert line['exchange_seconds'] > 0
    assert line['images_per_second'] == pytest.approx(2 / line['step_seconds'])
    assert found['branches'] > 0
    assert 'a step with penalties' in tables.summary({**report, **found})
    config.accumulation = 2
    assert compile_step.measure(compiled, config, None, chip)['roofline'] is None, 'a loop is counted once'


def test_a_batch_must_be_divisible_by_the_chips_of_the_slice():
    line = command.error_line('--mode=compile', *command.TINY_CYCLEGAN, '--topology=v5e:16x16')
    for part in ('batch_size is 4', '256 device', 'multiple of 256'):
        assert part in line


@pytest.mark.parametrize('config', ['cyclegan_horse2zebra', 'cut_cat2dog', 'stargan_v2_afhq'])
@pytest.mark.parametrize('chips', [4, 16, 64, 256])
def test_the_page_says_what_its_reports_hold(config, chips):
    """The row of the table in docs/scaling.md, number by number."""
    side = round(chips**0.5)
    report = json.loads((REPORTS / f'{config}_v5e_{side}x{side}.json').read_text())
    page = (REPORTS.parent / 'scaling.md').read_text()
    (row,) = (line for line in page.splitlines() if line.startswith(f'| `{config}` | {chips} | '))
    line, memory = report['roofline'], report['memory']
    large = [exchange for exchange in report['collectives'] if exchange['bytes'] > 1e6]
    exchanges = ' + '.join(
        f'{exchange["count"]} x '.removeprefix('1 x ') + f'{exchange["bytes"] / 1e6:.1f}'
        for exchange in sorted(large, key=lambda exchange: -exchange['bytes'])
    )
    assert row == (
        f'| `{config}` | {chips} | {report["batch_size"]} | {memory["peak_bytes"] / GIB:.2f} | '
        f'{report["flops"] / 1e12:.1f} | {report["bytes"] / 1e9:.1f} | {exchanges} | '
        f'{1e3 * line["compute_seconds"]:.1f} | {1e3 * line["memory_seconds"]:.1f} | '
        f'{1e3 * line["exchange_seconds"]:.2f} | {line["images_per_second"]:,.0f} | '
        f'{100 * line["weak_scaling_efficiency"]:.1f} % |'
    )
    assert report['devices'] == chips
    assert report['fits']
    assert memory['device_bytes'] == CHIPS['v5e'].memory
    assert report['loops'] == 0
    assert line['weak_scaling_efficiency'] >= (0.95 if chips == 256 else 0.92)
    assert {(exchange['opcode'], *exchange['dtypes']) for exchange in large} == {('all-reduce', 'f32')}
    assert 'of 15.75 GiB: fits' in tables.summary(report)


@pytest.mark.parametrize('slice_name', ['v6e:4x4', 'v5p:4x4x4', 'v4:2x2x4'])
@pytest.mark.parametrize(('fsdp', 'spatial'), [(1, 1), (2, 1), (4, 2)])
def test_a_mesh_may_split_an_axis_of_the_wiring(slice_name, fsdp, spatial):
    """On devices as a TPU describes itself: JAX places none on its wiring unless an axis of it may serve two."""
    part = find_slice(slice_name)
    kind = part.chip.kinds[0]
    shape = (*part.shape, 1)[:3]
    devices = [
        types.SimpleNamespace(
            id=i,
            platform='tpu',
            device_kind=kind,
            coords=coords,
            core_on_chip=0,
            process_index=0,
            slice_index=0,
        )
        for i, coords in enumerate(itertools.product(*(range(size) for size in shape)))
    ]
    placed = mesh_utils.create_device_mesh(
        sharding.mesh_sizes(len(devices), fsdp=fsdp, spatial=spatial), devices, **sharding.PLACING
    )
    assert placed.shape == (len(devices) // fsdp // spatial, fsdp, spatial)
    assert len({device.id for device in placed.flat}) == len(devices)


def test_a_step_that_does_not_fit_is_told_with_the_compiler_s_reason():
    report = json.loads(next(REPORTS.glob('*.json')).read_text())
    del report['memory']
    assert tables.summary({**report, 'fits': False, 'refused': 'out of memory'}).endswith(
        'does not fit: out of memory'
    )
