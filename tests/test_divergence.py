"""Trainings whose numbers are not finite: what they keep, and how they roll back."""

import contextlib
import itertools
import json
import re
import shutil
import signal

import numpy as np
import pytest

from gan_transfer import data as data_lib
from gan_transfer.checkpoint import BEST, FINGERPRINTS
from gan_transfer.divergence import rollbacks_behind
from gan_transfer.errors import UserError
from tests import smallest
from tests.run_folder import about, error_line, left_by, metrics, steps

pytestmark = [pytest.mark.xdist_group('divergence'), pytest.mark.usefixtures('smallest_method')]
DIVERGING = {'train_images': 128, 'keep_checkpoints': 32, 'sample_every_images': 128}


def source_means(data, order, first):
    """Means of the sources in the batches behind step `first`, as the networks see them."""
    config = smallest.make_config(data)
    pipeline = data_lib.make_pipeline(
        data_lib.open_dataset(config), config, ('source',), 'paired', start_step=first, order=order
    )
    with contextlib.closing(pipeline):
        return [float(next(pipeline)['source'].mean() / 127.5 - 1) for _ in range(first, 32)]


def course(data, limit, every):
    """The steps that meet a mean above `limit`, each in the next order from the checkpoint before it on."""
    faults, first = [], 0
    while True:
        above = [mean > limit for mean in source_means(data, len(faults), first)]
        if not any(above):
            return faults
        faults.append(first + above.index(True) + 1)
        assert len(faults) < 30, 'another order meets other means'
        first = (faults[-1] - 1) // every * every


@pytest.fixture(scope='module')
def limit(smallest_method, pairs):
    """A limit between two means, that the first order exceeds once or a few times behind the first checkpoint."""
    means = sorted(source_means(pairs, 0, 0))
    limits = [(low + high) / 2 for low, high in itertools.pairwise(means[-8:])]
    return next(
        limit for limit in limits if 1 <= len(course(pairs, limit, 4)) <= 3 and course(pairs, limit, 4)[0] > 5
    )


def test_a_divergence_keeps_the_state_before_it_and_its_batch(runs, pairs, limit, tmp_path):
    """The state is that of a run without the fault; it was made anew from the checkpoint of an earlier step."""
    step = course(pairs, limit, 4)[0]
    options = {**DIVERGING, 'method': {'largest_mean': limit}, 'log_every_images': 12}
    status, output = runs.finish(pairs, tmp_path / 'stopped', **options)
    assert status == 1, output
    line = error_line(output)
    assert f'generator/l1 is not finite at step {step} ({4 * step} images): the first such term' in line
    saved = (step - 1) // 4 * 4
    assert f'the newest checkpoint, of step {saved}, was saved before' in line
    assert 'did not meet it' not in line

    kept = tmp_path / 'stopped' / 'divergence' / str(step)
    assert f'are in {kept};' in line
    assert runs.finish(pairs, tmp_path / 'sound', **DIVERGING, checkpoint_every_images=4)[0] == 0
    found, expected = (about(workdir, step - 1) for workdir in (kept, tmp_path / 'sound'))
    assert found[FINGERPRINTS] == expected[FINGERPRINTS]
    with np.load(kept / 'batch.npz') as batch:
        assert batch['source'].mean() / 127.5 - 1 == pytest.approx(source_means(pairs, 0, step - 1)[0])
    told = json.loads((kept / 'divergence.json').read_text())
    assert told == {'step': step, 'term': 'generator/l1', 'rollbacks': 0}
    assert (kept / 'config.json').exists()
    assert metrics(kept) == metrics(tmp_path / 'stopped')


def test_rollbacks_take_another_order_of_the_data(runs, pairs, limit, tmp_path):
    faults = course(pairs, limit, 4)
    options = {**DIVERGING, 'method': {'largest_mean': limit}, 'on_divergence': 'rollback'}
    status, output = runs.finish(pairs, tmp_path / 'back', **options)
    assert status == 0, output
    told = [int(step) for step in re.findall(r'not finite at step (\d+)', output)]
    assert told == faults
    began = [float(seconds) for seconds in re.findall(r'first step after ([\d.]+) s', output)]
    assert max(began[1:]) < began[0], 'counted from the rollback, with nothing to compile'
    assert f'rollback {len(faults)} of 3: going on from step {(faults[-1] - 1) // 4 * 4}' in output
    assert sorted(int(path.name) for path in (tmp_path / 'back' / 'divergence').iterdir()) == sorted(faults)
    lines = metrics(tmp_path / 'back')
    assert [line['step'] for line in lines] == list(range(1, 33))
    assert all(line['generator/l1'] is not None for line in lines)
    assert about(tmp_path / 'back', 32)['rollbacks'] == len(faults)


def test_a_run_goes_on_in_the_order_of_its_last_rollback(runs, pairs, limit, tmp_path):
    """Its newest checkpoint is behind the fault: of the rollback it knows by what the checkpoint remembers alone."""
    options = {**DIVERGING, 'method': {'largest_mean': limit}, 'on_divergence': 'rollback'}
    assert runs.finish(pairs, tmp_path, **options)[0] == 0
    whole, (*_, before, last) = left_by(tmp_path), steps(tmp_path)
    assert before > course(pairs, limit, 4)[-1]
    shutil.rmtree(tmp_path / 'checkpoints' / str(last))
    assert runs.finish(pairs, tmp_path, **options)[0] == 0
    assert left_by(tmp_path) == whole


def test_rollbacks_are_bounded(runs, pairs, tmp_path):
    options = {
        **DIVERGING,
        'optimizer': {'learning_rate': 1e30},
        'on_divergence': 'rollback',
        'max_rollbacks': 2,
    }
    status, output = runs.finish(pairs, tmp_path, **options)
    assert status == 1
    line = error_line(output)
    assert 'discriminator/update_norm is not finite at step 1 (4 images)' in line
    assert '2 rollbacks did not help; no checkpoint was saved before' in line
    assert not steps(tmp_path)
    assert len(list((tmp_path / 'divergence').iterdir())) == 3

    status, output = runs.finish(pairs, tmp_path, **options)
    assert status == 1
    assert '2 rollbacks did not help' in error_line(output), (
        'counted over restarts, with no checkpoint either'
    )
    assert f'are in {tmp_path}/divergence/1_3;' in error_line(output)
    assert len(list((tmp_path / 'divergence').iterdir())) == 3, 'the last fault is kept already'

    options['optimizer'] = {'learning_rate': 2e30}
    status, output = runs.finish(pairs, tmp_path, allow_change=True, **options)
    assert f'are in {tmp_path}/divergence/1_4;' in error_line(output), 'another state than theirs'


def test_when_a_rollback_counts_the_best_state_behind_it_is_aside(runs, pairs, limit, tmp_path):
    """Else a kill at that moment would keep it for ever: of a course that the run has left."""
    options = {
        **DIVERGING,
        'method': {'largest_mean': limit},
        'on_divergence': 'rollback',
        'evaluate_every_images': 4,
        'checkpoint_every_images': 16,
    }
    assert runs.finish(pairs, tmp_path / 'whole', **options)[0] == 0
    workdir = tmp_path / 'killed'
    run = runs.start(pairs, workdir, **options)
    run.stop_when(lambda: any(workdir.glob('divergence/*/divergence.json')))
    assert steps(workdir, BEST) == [] or max(steps(workdir, BEST)) <= max(steps(workdir), default=0)
    run.send(signal.SIGKILL)
    run.wait()
    status, output = runs.finish(pairs, workdir, **options)
    assert status == 0, output
    assert left_by(workdir) == left_by(tmp_path / 'whole')


@pytest.mark.parametrize('text', ['', '{"step": ', '[3]', '{"rollbacks": 1}'])
def test_a_damaged_record_is_named(text, tmp_path):
    path = tmp_path / 'divergence' / '7' / 'divergence.json'
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UserError, match=r'divergence/7/divergence\.json is damaged'):
        rollbacks_behind(str(tmp_path), 3)


def test_a_divergence_is_told_where_it_cannot_be_kept(runs, pairs, tmp_path):
    """A file stands where the folder would be."""
    (tmp_path / 'divergence').write_text('')
    status, output = runs.finish(pairs, tmp_path, **DIVERGING, optimizer={'learning_rate': 1e30})
    assert status == 1
    line = error_line(output)
    assert 'discriminator/update_norm is not finite at step 1 (4 images): the first such term' in line
    assert 'what it was met with could not be kept: Not a directory' in line
