"""Trainings through the command line: what they leave, and that stopping and going on changes no bit."""

import json
import shutil
import signal
import time

import numpy as np
import PIL.Image
import pytest

from tests import command
from tests.run_folder import metrics, steps

pytestmark = pytest.mark.xdist_group('cyclegan_run')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return command.folder_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def arguments(data):
    return (*command.tiny_training(data), '--config.keep_checkpoints=3')


@pytest.fixture(scope='module')
def run(arguments, tmp_path_factory):
    """An uninterrupted training of 16 steps: its folder, and what it printed."""
    workdir = tmp_path_factory.mktemp('run')
    return workdir, command.launch(*arguments, f'--workdir={workdir}').stdout


def test_what_a_run_leaves(run):
    workdir, out = run
    assert [line['step'] for line in metrics(workdir)] == list(range(2, 17, 2))
    assert [line['images'] for line in metrics(workdir)] == list(range(8, 65, 8))
    last = metrics(workdir)[-1]
    for name in (
        'generator/adversarial_a_to_b',
        'generator/gradient_norm',
        'generator/update_norm',
        'discriminator/real_score_a',
        'discriminator/fake_sign_b',
    ):
        assert np.isfinite(last[name])
    assert steps(workdir) == [8, 12, 16]  # the newest three
    samples = sorted((workdir / 'samples').iterdir())
    assert [path.name for path in samples] == ['00000032.png', '00000064.png']
    assert out.splitlines()[-1] == str(samples[-1])
    assert 'first step after' in out
    assert list((workdir / 'tensorboard').iterdir())
    assert json.loads((workdir / 'config.json').read_text())['method']['name'] == 'cyclegan'


def test_sample_grid_has_a_row_for_each_source(run):
    workdir, _ = run
    with PIL.Image.open(workdir / 'samples' / '00000064.png') as image:
        grid = np.asarray(image)
    times = 3  # 32 px are magnified to 96
    assert grid.shape == (times * (4 * 34 - 2), times * (2 * 34 - 2), 3)
    assert (grid[times * 32 : times * 34] == 255).all()
    assert (grid[:, times * 32 : times * 34] == 255).all()


def test_a_finished_run_says_so(run, arguments):
    workdir, _ = run
    out = command.launch(*arguments, f'--workdir={workdir}').stdout
    assert 'finished' in out
    assert out.splitlines()[-1].endswith('00000064.png')


def test_a_changed_config_is_refused(run, arguments):
    workdir, _ = run
    changed = (*arguments, '--config.seed=4', '--config.method.pool_size=0', f'--workdir={workdir}')
    line = command.error_line(*changed)
    assert 'seed: 0 -> 4' in line
    assert 'method.pool_size: 8 -> 0' in line
    assert '--allow_config_change' in line


def test_a_batch_size_or_domains_that_would_change_the_past_are_refused(run, arguments):
    workdir, _ = run
    line = command.error_line(*arguments, f'--workdir={workdir}', '--config.batch_size=2')
    assert line.endswith('take another --workdir, for a run cannot change that')
    again = (*arguments, f'--workdir={workdir}', '--allow_config_change')
    assert 'batch_size is 2; the checkpoint of step 16 has seen 64 images, 4 a step' in command.error_line(
        *again, '--config.batch_size=2'
    )
    swapped = [argument.replace('day,night', 'night,day') for argument in again]
    line = command.error_line(*swapped)
    assert 'the run was started with day, night' in line


def test_resuming_gives_the_same_bits(run, arguments, tmp_path):
    """A run that was killed behind its checkpoint of step 8, in the middle of a save and of a line."""
    finished, _ = run
    workdir = tmp_path / 'killed'
    shutil.copytree(finished, workdir)
    for step in (12, 16):
        shutil.rmtree(workdir / 'checkpoints' / str(step))
    (workdir / 'checkpoints' / '12.orbax-checkpoint-tmp').mkdir()
    lines = (workdir / 'metrics.jsonl').read_text().splitlines()
    (workdir / 'metrics.jsonl').write_text('\n'.join([*lines[:5], lines[5][:40]]))
    (workdir / 'samples' / '00000064.png').unlink()

    out = command.launch(*arguments, f'--workdir={workdir}').stdout

    assert 'resuming at 32 images' in out
    assert 'compilation cache: warm' in out
    assert metrics(workdir) == metrics(finished)
    assert steps(workdir) == [8, 12, 16]
    grid = '00000064.png'
    assert (workdir / 'samples' / grid).read_bytes() == (finished / 'samples' / grid).read_bytes()


def test_an_interrupted_run_goes_on(arguments, tmp_path):
    """What is killed instead is in `test_survival.py`."""
    long = [
        *arguments,
        '--config.train_images=400000',
        '--config.log_every_images=400',
        f'--workdir={tmp_path}',
    ]
    process = command.start(*long)
    deadline = time.monotonic() + 240
    while not steps(tmp_path) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err
    seen = 4 * max(steps(tmp_path))
    assert f'saved at {seen} images' in out
    # With other values of the optimizer, which does not touch what it keeps of the past.
    optimizer = ('--config.optimizer.gradient_clip=1.0', '--config.optimizer.weight_decay=1e-4')
    end = [*long, f'--config.train_images={seen + 8}', *optimizer, '--allow_config_change']
    out = command.launch(*end).stdout
    assert f'resuming at {seen} images' in out
    assert f'train_images: 400000 -> {seen + 8}' in out
    assert max(steps(tmp_path)) * 4 == seen + 8
