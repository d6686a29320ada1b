"""Trainings that are killed, damaged, out of disk or diverged: what they come to, and what they leave."""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gan_transfer import data as data_lib
from gan_transfer.checkpoint import BEST, FINGERPRINTS, NEWEST, Checkpoints, DamagedCheckpoint
from gan_transfer.inference import open_run
from gan_transfer.methods import METHODS
from gan_transfer.run_lock import locked
from tests import command, events, smallest
from tests.forked_runs import ForkedRuns

pytestmark = pytest.mark.xdist_group('survival')
LONG = {'train_images': 1440, 'evaluate_every_images': 80, 'sample_every_images': 112}  # 360 steps


@pytest.fixture(autouse=True, scope='module')
def smallest_method():
    METHODS[smallest.NAME] = smallest.Smallest
    yield
    del METHODS[smallest.NAME]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return command.side_by_side_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def runs():
    with ForkedRuns() as runs:
        yield runs


@pytest.fixture(scope='module')
def uninterrupted(runs, data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('runs') / 'uninterrupted'
    status, output = runs.finish(data, workdir, **LONG)
    assert status == 0, output
    return workdir


def metrics(workdir):
    """Every line but its times; a line cut short by a kill is none."""
    path = workdir / 'metrics.jsonl'
    return command.without_times(path.read_text() if path.exists() else '')


def steps(workdir, folder=NEWEST):
    return sorted(int(path.name) for path in (workdir / folder).glob('*') if path.name.isdecimal())


def about(workdir, step, folder=NEWEST):
    checkpoints = Checkpoints(workdir, folder=folder)
    try:
        return checkpoints.about(step)
    finally:
        checkpoints.close()


def left_by(workdir):
    """All that a run leaves, without its times: two runs that leave the same went the same way to the bit.

    Fingerprints are taken from the arrays before they are saved, not from files.
    """
    shown = {
        step: {name: value for name, value in values.items() if name not in command.TIMES}
        for step, values in events.shown(workdir).items()
    }
    kept = {
        (folder, step): about(workdir, step, folder)
        for folder in (NEWEST, BEST)
        for step in steps(workdir, folder)
    }
    for values in kept.values():
        del values['seconds']
    samples = {path.name: path.read_bytes() for path in (workdir / 'samples').iterdir()}
    return {'metrics': metrics(workdir), 'events': shown, 'checkpoints': kept, 'samples': samples}


def saving(workdir):
    return any(workdir.glob('*/*.orbax-checkpoint-tmp'))


def newest_line(workdir):
    """The newest whole line, from the end of the file: progress is looked at often."""
    path = workdir / 'metrics.jsonl'
    if not path.exists():
        return {'step': 0}
    with path.open('rb') as file:
        file.seek(max(path.stat().st_size - 4096, 0))
        lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b'}\n')]
    return json.loads(lines[-1]) if lines else {'step': 0}


def evaluating(workdir):
    """Whether the newest line is of a step that is evaluated, and not yet that of its evaluation."""
    line = newest_line(workdir)
    return 'generator/l1' in line and line['images'] % LONG['evaluate_every_images'] == 0


def kill(run, workdir, moment, generator):
    """Kills a run at a random point: as it starts, or, after some steps, while it saves, evaluates, or anywhere.

    Progress is counted in steps, so that a fast machine comes no nearer to the end than a slow one; and a run is
    stopped to see what it does, so that a slow one misses no moment.

    Returns:
      what it was doing, by what it left; None where it had ended before.
    """
    doing = {'saving': saving, 'evaluating': evaluating}.get(moment, lambda _: True)
    goal = newest_line(workdir)['step'] + generator.choice((1, 2, 5, 10, 15))
    while moment != 'starting' and not run.ended():
        if newest_line(workdir)['step'] >= goal and doing(workdir):
            run.send(signal.SIGSTOP)
            if doing(workdir):
                break
            run.send(signal.SIGCONT)
        time.sleep(0.0005)
    if moment in ('starting', 'anywhere'):
        run.send(signal.SIGCONT)
        time.sleep(generator.uniform(0, 0.6 if moment == 'starting' else 0.02))
    run.send(signal.SIGKILL)
    if run.wait() != -signal.SIGKILL:
        return None
    return {name for name, check in (('saving', saving), ('evaluating', evaluating)) if check(workdir)}


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_as_one_that_was_not(runs, data, uninterrupted, tmp_path):
    workdir, generator = tmp_path / 'killed', random.Random(0)
    found = []
    for i in range(24):
        moment = ('starting', 'saving', 'evaluating', 'anywhere')[i % 4]
        found.append(kill(runs.start(data, workdir, **LONG), workdir, moment, generator))
    status, output = runs.finish(data, workdir, **LONG)
    assert status == 0, output
    assert sum(moment is not None for moment in found) >= 20, found
    assert {'saving', 'evaluating'} == set().union(*(moment or () for moment in found))
    assert left_by(workdir) == left_by(uninterrupted)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_the_process_at_once(number):
    """Also where no Python runs: in a hash that takes a minute, as in a compilation."""
    code = (
        'import hashlib\n'
        'from gan_transfer.interruption import Interruption\n'
        'with Interruption():\n'
        '    print("started", flush=True)\n'
        '    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)\n'
    )
    process = subprocess.Popen([sys.executable, '-c', code], cwd=command.ROOT, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(number)
        time.sleep(0.3)
        assert process.poll() is None, 'the first one is noted'
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


def error_line(output):
    """The one line of an error, behind what the run has told; nothing else may be in between."""
    *_, line = output.splitlines()
    assert 'Traceback' not in output
    assert line.startswith('error: ')
    return line


def test_a_run_that_is_being_trained_is_refused(runs, data, tmp_path):
    with locked(str(tmp_path)):
        status, output = runs.finish(data, tmp_path, train_images=20)
        assert status == 2
        assert f'is being trained (process {os.getpid()} on ' in error_line(output)
        assert [path.name for path in tmp_path.iterdir()] == ['lock']
    assert runs.finish(data, tmp_path, train_images=20)[0] == 0


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(runs, data, tmp_path):
    """Once there is a checkpoint, no file may be as large as the pool in a later one; logs are smaller."""
    options = {'train_images': 480, 'sample_every_images': 480, 'log_every_images': 48, 'keep_checkpoints': 3}
    options['method'] = {'pool_size': 64}
    status, output = runs.finish(data, tmp_path / 'whole', **options)
    assert status == 0, output
    files = (tmp_path / 'whole' / 'checkpoints' / '120').rglob('*')
    limit = max(path.stat().st_size for path in files) // 2

    run = runs.start(data, tmp_path / 'full', **options)
    while not steps(tmp_path / 'full') and not run.ended():
        time.sleep(0.0005)
    run.limit_files(limit)
    assert run.wait() == 1, run.output()
    line = error_line(run.output())
    refused = int(re.search(r'the checkpoint of step (\d+) cannot be written to', line)[1])
    assert f'File too large; the one of step {refused - 4} stays' in line
    assert steps(tmp_path / 'full')[-1] == refused - 4
    status, output = runs.finish(data, tmp_path / 'full', **options)
    assert status == 0, output
    assert f'resuming at {4 * (refused - 4)} images' in output
    assert left_by(tmp_path / 'full') == left_by(tmp_path / 'whole')


def test_a_damaged_checkpoint_is_an_error_or_passed_over(runs, data, tmp_path, capsys):
    options = {'train_images': 48, 'keep_checkpoints': 3, 'sample_every_images': 48}
    assert runs.finish(data, tmp_path, **options)[0] == 0
    before = left_by(tmp_path)
    place = max((tmp_path / 'checkpoints' / '12').rglob('*'), key=lambda path: path.stat().st_size)
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    status, output = runs.finish(data, tmp_path, **options)
    assert status == 2
    assert 'the checkpoint of step 12 is damaged: ' in error_line(output)
    assert '--config.checkpoint.on_damage=fallback' in error_line(output)

    config = smallest.make_config(data, **options)
    with pytest.raises(DamagedCheckpoint, match='step 12 is damaged'):
        open_run(config, str(tmp_path))
    config.checkpoint.on_damage = 'fallback'
    assert open_run(config, str(tmp_path)).step == 8
    assert 'warning: the checkpoint of step 12 is damaged' in capsys.readouterr().err

    status, output = runs.finish(data, tmp_path, **options, checkpoint={'on_damage': 'fallback'})
    assert status == 0, output
    assert 'the checkpoint of step 12 is damaged: ' in output
    assert 'resuming at 32 images' in output
    assert (tmp_path / 'aside' / 'checkpoints_12').is_dir()
    assert left_by(tmp_path) == before


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
        first = (faults[-1] - 1) // every * every


@pytest.fixture(scope='module')
def limit(data):
    """A limit between two means, that the first order exceeds once or a few times behind the first checkpoint."""
    means = sorted(source_means(data, 0, 0))
    limits = [(low + high) / 2 for low, high in itertools.pairwise(means[-8:])]
    return next(
        limit for limit in limits if 1 <= len(course(data, limit, 4)) <= 3 and course(data, limit, 4)[0] > 5
    )


def test_a_divergence_keeps_the_state_before_it_and_its_batch(runs, data, limit, tmp_path):
    """The state is that of a run without the fault; it was made anew from the checkpoint of an earlier step."""
    step = course(data, limit, 4)[0]
    options = {**DIVERGING, 'method': {'largest_mean': limit}, 'log_every_images': 12}
    status, output = runs.finish(data, tmp_path / 'stopped', **options)
    assert status == 1, output
    line = error_line(output)
    assert f'generator/l1 is not finite at step {step} ({4 * step} images): the first such term' in line
    saved = (step - 1) // 4 * 4
    assert f'the newest checkpoint, of step {saved}, was saved before' in line
    assert 'did not meet it' not in line

    kept = tmp_path / 'stopped' / 'divergence' / str(step)
    assert f'are in {kept};' in line
    assert runs.finish(data, tmp_path / 'sound', **DIVERGING, checkpoint_every_images=4)[0] == 0
    found, expected = (about(workdir, step - 1) for workdir in (kept, tmp_path / 'sound'))
    assert found[FINGERPRINTS] == expected[FINGERPRINTS]
    with np.load(kept / 'batch.npz') as batch:
        assert batch['source'].mean() / 127.5 - 1 == pytest.approx(source_means(data, 0, step - 1)[0])
    assert json.loads((kept / 'divergence.json').read_text()) == {'step': step, 'term': 'generator/l1'}
    assert (kept / 'config.json').exists()
    assert metrics(kept) == metrics(tmp_path / 'stopped')


def test_rollbacks_take_another_order_of_the_data(runs, data, limit, tmp_path):
    faults = course(data, limit, 4)
    options = {**DIVERGING, 'method': {'largest_mean': limit}, 'on_divergence': 'rollback'}
    status, output = runs.finish(data, tmp_path / 'back', **options)
    assert status == 0, output
    told = [int(step) for step in re.findall(r'not finite at step (\d+)', output)]
    assert told == faults
    assert f'rollback {len(faults)} of 3: going on from step {(faults[-1] - 1) // 4 * 4}' in output
    assert sorted(int(path.name) for path in (tmp_path / 'back' / 'divergence').iterdir()) == sorted(faults)
    lines = metrics(tmp_path / 'back')
    assert [line['step'] for line in lines] == list(range(1, 33))
    assert all(line['generator/l1'] is not None for line in lines)
    assert about(tmp_path / 'back', 32)['rollbacks'] == len(faults)


def test_rollbacks_are_bounded(runs, data, tmp_path):
    options = {
        **DIVERGING,
        'optimizer': {'learning_rate': 1e30},
        'on_divergence': 'rollback',
        'max_rollbacks': 2,
    }
    status, output = runs.finish(data, tmp_path, **options)
    assert status == 1
    line = error_line(output)
    assert 'discriminator/update_norm is not finite at step 1 (4 images)' in line
    assert '2 rollbacks did not help; no checkpoint was saved before' in line
    assert not steps(tmp_path)
    assert len(list((tmp_path / 'divergence').iterdir())) == 3


def test_an_evaluation_that_is_due_when_a_signal_comes_is_made_when_the_run_goes_on(runs, data, tmp_path):
    often = {'train_images': 240, 'evaluate_every_images': 4, 'sample_every_images': 4}  # at each of 60 steps
    assert runs.finish(data, tmp_path / 'whole', **often)[0] == 0
    workdir = tmp_path / 'interrupted'
    run = runs.start(data, workdir, **often)
    while newest_line(workdir)['step'] < 7 and not run.ended():
        time.sleep(0.001)
    run.send(signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM, run.output()
    left = steps(workdir)[-1]
    assert left < 60
    assert about(workdir, left)['owed_evaluation']
    assert metrics(workdir)[-1]['step'] == left
    assert runs.finish(data, workdir, **often)[0] == 0
    assert left_by(workdir) == left_by(tmp_path / 'whole')


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', refuse)
    with locked(str(tmp_path)):
        assert 'cannot be locked (No locks available)' in capsys.readouterr().err
