"""The mode from the command line, on the devices that are there, its mistakes, and the reports of the docs."""

import dataclasses
import json

import jax
import pytest

from gan_transfer import sharding
from gan_transfer.compile import compile_step, tables
from gan_transfer.compile.chips import CHIPS
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


@pytest.mark.parametrize('path', sorted(REPORTS.glob('*.json')), ids=lambda path: path.stem)
def test_the_reports_of_the_docs_hold_what_the_page_says(path):
    report = json.loads(path.read_text())
    assert report['fits']
    assert report['loops'] == 0
    assert report['roofline']['weak_scaling_efficiency'] >= (0.95 if report['devices'] == 256 else 0.92)
    large = [exchange for exchange in report['collectives'] if exchange['bytes'] > 1e6]
    assert {(exchange['opcode'], *exchange['dtypes']) for exchange in large} == {('all-reduce', 'f32')}
    text = tables.summary(report)
    assert f'{report["devices"]} x TPU v5 lite' in text
    assert 'of 16.00 GiB: fits' in text
    assert 'nothing was run' in text


def test_a_step_that_does_not_fit_is_told_with_the_compiler_s_reason():
    report = json.loads(next(REPORTS.glob('*.json')).read_text())
    del report['memory']
    assert tables.summary({**report, 'fits': False, 'refused': 'out of memory'}).endswith(
        'does not fit: out of memory'
    )
