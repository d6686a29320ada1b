"""Where a training goes on: what it refuses, and what it leaves behind."""

import contextlib
import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from gan_transfer import resume, run_config
from gan_transfer.checkpoint import BEST
from gan_transfer.data import open_dataset
from gan_transfer.errors import UserError
from gan_transfer.optimizer import make_schedule
from tests import command
from tests.run_folder import error_line, left_by, metrics, steps

pytestmark = [pytest.mark.xdist_group('divergence'), pytest.mark.usefixtures('smallest_method')]
SHORT = {'train_images': 64, 'keep_checkpoints': 8, 'sample_every_images': 64}


def test_other_training_images_are_refused_or_told_to_be_taken(runs, tmp_path):
    data = command.side_by_side_data(tmp_path / 'data')
    assert runs.finish(data, tmp_path / 'run', **SHORT)[0] == 0
    last = steps(tmp_path / 'run')[-1]
    shutil.rmtree(tmp_path / 'run' / 'checkpoints' / str(last))
    picture = np.concatenate([command.picture(100), 255 - command.picture(100)], 1)
    command.write(data / 'train' / '100.png', picture)
    status, output = runs.finish(data, tmp_path / 'run', **SHORT)
    assert status == 2
    count = len(list((data / 'train').iterdir()))
    assert f'the training images of A are not those of the checkpoint of step {last - 4}' in error_line(
        output
    )
    assert f'({count}, then {count - 1})' in error_line(output)
    (data / 'train' / '100.png').rename(data / 'train' / '101.png')
    extra = next(path for path in (data / 'train').iterdir() if path.name != '101.png')
    extra.unlink()
    status, output = runs.finish(data, tmp_path / 'run', **SHORT)
    assert '(other names)' in error_line(output)
    status, output = runs.finish(data, tmp_path / 'run', allow_change=True, **SHORT)
    assert status == 0, output
    assert f'resuming at {4 * (last - 4)} images' in output
    assert f'changed: training images of A: {count - 1} -> others' in output
    assert (tmp_path / 'run' / 'config_changes.jsonl').exists()


def test_a_run_without_its_checkpoints_is_not_begun_anew_over_its_log(runs, pairs, tmp_path):
    workdir = tmp_path / 'run'
    assert runs.finish(pairs, workdir, **SHORT)[0] == 0
    before = left_by(workdir)
    (workdir / 'checkpoints').rename(tmp_path / 'elsewhere')
    status, output = runs.finish(pairs, workdir, **SHORT)
    assert status == 2
    assert 'has the log of 64 images and no checkpoint to go on from' in error_line(output)
    shutil.rmtree(workdir / 'checkpoints', ignore_errors=True)
    (tmp_path / 'elsewhere').rename(workdir / 'checkpoints')
    assert runs.finish(pairs, workdir, **SHORT)[0] == 0
    assert left_by(workdir) == before


def test_another_config_without_evaluations_sets_it_aside_too(runs, pairs, tmp_path):
    assert runs.finish(pairs, tmp_path, **SHORT, evaluate_every_images=4)[0] == 0
    (best,) = steps(tmp_path, BEST)
    for step in steps(tmp_path)[1:]:
        shutil.rmtree(tmp_path / 'checkpoints' / str(step))
    assert best > steps(tmp_path)[0]
    status, output = runs.finish(
        pairs, tmp_path, allow_change=True, **SHORT, optimizer={'learning_rate': 1e-6}
    )
    assert status == 0, output
    assert steps(tmp_path, BEST) == []
    assert (tmp_path / 'aside' / f'best_{best}').is_dir()


def test_another_config_sets_the_best_state_ahead_of_it_aside(runs, pairs, tmp_path):
    options = {**SHORT, 'evaluate_every_images': 4}
    assert runs.finish(pairs, tmp_path, **options)[0] == 0
    best = steps(tmp_path, BEST)[0]
    assert best > 4, 'the game must get better, or this test says nothing'
    for step in steps(tmp_path)[1:]:
        shutil.rmtree(tmp_path / 'checkpoints' / str(step))
    status, output = runs.finish(
        pairs, tmp_path, allow_change=True, **options, optimizer={'learning_rate': 1e-6}
    )
    assert status == 0, output
    assert f'resuming at {4 * steps(tmp_path)[0]} images' in output
    assert (tmp_path / 'aside' / f'best_{best}').is_dir()
    measure = 'evaluation/paired_test/lpips_alexnet'
    values = {line['step']: line[measure] for line in metrics(tmp_path) if measure in line}
    for step in range(1, steps(tmp_path)[0] + 1):
        del values[step]
    assert steps(tmp_path, BEST) == [min(values, key=values.get)], 'of the steps by the other config alone'


def test_a_full_disk_at_the_start_is_told_by_its_path(runs, pairs, tmp_path):
    assert runs.finish(pairs, tmp_path, **SHORT)[0] == 0
    shutil.rmtree(tmp_path / 'checkpoints' / str(steps(tmp_path)[-1]))
    files = sorted(path.name for path in tmp_path.iterdir())
    run = runs.start(pairs, tmp_path, **SHORT)
    run.limit_files(1000)  # the config is larger, what the run tells is not
    assert run.wait() == 1, run.output()
    assert f'{tmp_path}/' in error_line(run.output())
    assert 'cannot be written: File too large' in error_line(run.output())
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert runs.finish(pairs, tmp_path, **SHORT)[0] == 0


def test_other_test_images_set_the_best_state_aside(runs, tmp_path):
    data, options = command.side_by_side_data(tmp_path / 'data'), {**SHORT, 'evaluate_every_images': 16}
    assert runs.finish(data, tmp_path / 'run', **options)[0] == 0
    (best,) = steps(tmp_path / 'run', BEST)
    shutil.rmtree(tmp_path / 'run' / 'checkpoints' / str(steps(tmp_path / 'run')[-1]))
    picture = np.concatenate([command.picture(100), 255 - command.picture(100)], 1)
    command.write(data / 'test' / '100.png', picture)
    status, output = runs.finish(data, tmp_path / 'run', **options)
    assert status == 0, output
    assert 'the best checkpoint was chosen on other test images' in output
    assert (tmp_path / 'run' / 'aside' / f'best_{best}').is_dir()


def test_a_shorter_interval_of_checkpoints_does_not_ask_for_one_that_was_never_due(tmp_path):
    config = common.get_config()
    run_config.save(str(tmp_path), config)
    images = config.checkpoint_every_images - config.batch_size
    (tmp_path / 'metrics.jsonl').write_text(json.dumps({'step': 7, 'images': images}) + '\n')
    config.checkpoint_every_images = config.batch_size
    resume.check_log(config, str(tmp_path))
    (tmp_path / 'config.json').unlink()
    with pytest.raises(UserError, match='no checkpoint to go on from'):
        resume.check_log(config, str(tmp_path))


@pytest.mark.parametrize(('short_of', 'refused'), [(1, False), (0, True)])
def test_a_log_is_refused_from_the_second_checkpoint_on(short_of, refused, tmp_path):
    config = common.get_config()
    images = 2 * config.checkpoint_every_images + config.batch_size - short_of
    (tmp_path / 'metrics.jsonl').write_text(json.dumps({'step': 7, 'images': images}) + '\n')
    with pytest.raises(UserError, match='no checkpoint to go on') if refused else contextlib.nullcontext():
        resume.check_log(config, str(tmp_path))


def test_the_rate_in_the_log_is_that_of_the_step(runs, pairs, tmp_path):
    assert runs.finish(pairs, tmp_path, **SHORT)[0] == 0
    schedule = make_schedule('linear', 1e-3, 16, 64)
    found = [(line['images'], line['learning_rate']) for line in metrics(tmp_path)]
    assert found == [
        (images, pytest.approx(float(schedule(jnp.float32(images - 4))))) for images in range(4, 65, 4)
    ]


def test_images_that_can_be_read_again_are_told(tmp_path):
    config = common.get_config()
    for i in range(20):
        for domain in ('cat', 'dog'):
            command.write(tmp_path / 'train' / domain / f'{i}.png', command.picture(i))
    broken = tmp_path / 'train' / 'cat' / '2.png'
    good = broken.read_bytes()
    broken.write_bytes(b'')
    config.data.update(
        source='folder', path=str(tmp_path), cache=str(tmp_path / 'cache'), max_corrupt_share=0.1
    )
    about = resume.remembered(open_dataset(config), config.batch_size)
    broken.write_bytes(good)
    changes = resume._check(about, 1, config, open_dataset(config), allow_change=False)
    assert changes == ('unreadable training images: train/cat/2.png -> none',)
