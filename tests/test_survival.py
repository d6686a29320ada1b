"""Trainings that are killed, damaged or out of disk: what they come to, and what they leave."""

import contextlib
import errno
import fcntl
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from gan_transfer.checkpoint import DamagedCheckpoint
from gan_transfer.errors import RunStopped
from gan_transfer.inference import open_run
from gan_transfer.run_lock import locked
from tests import command, smallest
from tests.run_folder import about, error_line, flip_a_bit, left_by, metrics, steps

pytestmark = [pytest.mark.xdist_group('survival'), pytest.mark.usefixtures('smallest_method')]
LONG = {'train_images': 1440, 'evaluate_every_images': 80, 'sample_every_images': 112}  # 360 steps


@pytest.fixture(scope='module')
def uninterrupted(runs, pairs, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('runs') / 'uninterrupted'
    status, output = runs.finish(pairs, workdir, **LONG)
    assert status == 0, output
    return workdir


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

    Progress is counted in steps, so that a fast machine comes no nearer to the end than a slow one.

    Returns:
      what it was doing, by what it left; None where it had ended before.
    """
    doing = {'saving': saving, 'evaluating': evaluating}.get(moment, lambda _: True)
    goal = newest_line(workdir)['step'] + generator.choice((1, 2, 5, 10, 15))
    if moment != 'starting':
        run.stop_when(lambda: newest_line(workdir)['step'] >= goal and doing(workdir))
    if moment in ('starting', 'anywhere'):
        run.send(signal.SIGCONT)
        time.sleep(generator.uniform(0, 0.6 if moment == 'starting' else 0.02))
    run.send(signal.SIGKILL)
    if run.wait() != -signal.SIGKILL:
        return None
    return {name for name, check in (('saving', saving), ('evaluating', evaluating)) if check(workdir)}


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_as_one_that_was_not(runs, pairs, uninterrupted, tmp_path):
    workdir, generator = tmp_path / 'killed', random.Random(0)
    found = []
    for i in range(24):
        moment = ('starting', 'saving', 'evaluating', 'anywhere')[i % 4]
        found.append(kill(runs.start(pairs, workdir, **LONG), workdir, moment, generator))
    status, output = runs.finish(pairs, workdir, **LONG)
    assert status == 0, output
    assert sum(moment is not None for moment in found) >= 20, found
    assert {'saving', 'evaluating'} == set().union(*(moment or () for moment in found))
    assert left_by(workdir) == left_by(uninterrupted)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_the_process_at_once(number):
    """Also where no Python runs: in a hash that takes a minute, as in a compilation."""
    code = (
        'import hashlib, signal\n'
        'from gan_transfer.interruption import Interruption\n'
        'signal.signal(signal.SIGINT, signal.default_int_handler)\n'  # a shell may have it ignored
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


def test_a_run_that_is_being_trained_is_refused(runs, pairs, tmp_path):
    with locked(str(tmp_path)):
        status, output = runs.finish(pairs, tmp_path, train_images=20)
        assert status == 2
        assert f'is being trained (process {os.getpid()} on ' in error_line(output)
        assert [path.name for path in tmp_path.iterdir()] == ['lock']
    assert runs.finish(pairs, tmp_path, train_images=20)[0] == 0


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(runs, pairs, tmp_path):
    """Once there is a checkpoint, no file may be as large as the pool in a later one; logs are smaller."""
    options = {'train_images': 480, 'sample_every_images': 480, 'log_every_images': 48, 'keep_checkpoints': 3}
    options['method'] = {'pool_size': 64}
    status, output = runs.finish(pairs, tmp_path / 'whole', **options)
    assert status == 0, output
    files = (tmp_path / 'whole' / 'checkpoints' / '120').rglob('*')
    limit = max(path.stat().st_size for path in files) // 2

    run = runs.start(pairs, tmp_path / 'full', **options)
    while not steps(tmp_path / 'full') and not run.ended():
        time.sleep(0.0005)
    run.limit_files(limit)
    assert run.wait() == 1, run.output()
    line = error_line(run.output())
    refused = int(re.search(r'the checkpoint of step (\d+) cannot be written to', line)[1])
    assert f'File too large; the one of step {refused - 4} stays' in line
    assert steps(tmp_path / 'full')[-1] == refused - 4
    status, output = runs.finish(pairs, tmp_path / 'full', **options)
    assert status == 0, output
    assert f'resuming at {4 * (refused - 4)} images' in output
    assert left_by(tmp_path / 'full') == left_by(tmp_path / 'whole')


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 4 MiB."""
    place = tmp_path / 'disk'
    place.mkdir()
    mount = ('mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', str(place))
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip('a file system can be mounted by the superuser only')
    yield place
    subprocess.run(('umount', '--lazy', str(place)), check=True)


@pytest.mark.skipif(sys.platform != 'linux', reason='tmpfs is of Linux')
def test_a_file_system_that_is_full_ends_the_run_too(runs, pairs, small_disk, tmp_path):
    """Other files take all of it once there is a checkpoint; a save under way is lost, never what was saved."""
    options = {
        'train_images': 480,
        'sample_every_images': 480,
        'log_every_images': 480,
        'keep_checkpoints': 2,
    }
    status, output = runs.finish(pairs, tmp_path / 'whole', **options)
    assert status == 0, output

    workdir, ballast = small_disk / 'run', small_disk / 'ballast'
    run = runs.start(pairs, workdir, output=tmp_path / 'full.out', **options)
    run.stop_when(lambda: steps(workdir))
    with contextlib.suppress(OSError), ballast.open('wb', buffering=0) as file:
        while True:
            file.write(bytes(4096))
    run.send(signal.SIGCONT)
    assert run.wait() == 1, run.output()
    assert 'No space left on device' in error_line(run.output())
    good = steps(workdir)[-1]
    assert about(workdir, good)['images'] == 4 * good
    ballast.unlink()
    status, output = runs.finish(pairs, workdir, output=tmp_path / 'full.out', **options)
    assert status == 0, output
    assert f'resuming at {4 * good} images' in output
    assert left_by(workdir) == left_by(tmp_path / 'whole')


def test_a_damaged_checkpoint_is_an_error_or_passed_over(runs, pairs, tmp_path, capsys):
    options = {'train_images': 48, 'keep_checkpoints': 3, 'sample_every_images': 48}
    assert runs.finish(pairs, tmp_path, **options)[0] == 0
    before = left_by(tmp_path)
    flip_a_bit(tmp_path / 'checkpoints' / '12')
    status, output = runs.finish(pairs, tmp_path, **options)
    assert status == 2
    assert 'the checkpoint of step 12 is damaged: ' in error_line(output)
    assert '--config.checkpoint.on_damage=fallback' in error_line(output)

    config = smallest.make_config(pairs, **options)
    with pytest.raises(DamagedCheckpoint, match='step 12 is damaged'):
        open_run(config, str(tmp_path))
    config.checkpoint.on_damage = 'fallback'
    assert open_run(config, str(tmp_path)).step == 8
    assert 'warning: the checkpoint of step 12 is damaged' in capsys.readouterr().err

    status, output = runs.finish(pairs, tmp_path, **options, checkpoint={'on_damage': 'fallback'})
    assert status == 0, output
    assert 'the checkpoint of step 12 is damaged: ' in output
    assert 'resuming at 32 images' in output
    assert (tmp_path / 'aside' / 'checkpoints_12').is_dir()
    assert left_by(tmp_path) == before


def test_an_evaluation_that_is_due_when_a_signal_comes_is_made_when_the_run_goes_on(runs, pairs, tmp_path):
    often = {'train_images': 128, 'evaluate_every_images': 4, 'sample_every_images': 4}  # at each of 32 steps
    assert runs.finish(pairs, tmp_path / 'whole', **often)[0] == 0
    workdir = tmp_path / 'interrupted'
    run = runs.start(pairs, workdir, **often)
    while newest_line(workdir)['step'] < 7 and not run.ended():
        time.sleep(0.001)
    run.send(signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM, run.output()
    left = steps(workdir)[-1]
    assert left < 32
    assert about(workdir, left)['owed_evaluation']
    assert metrics(workdir)[-1]['step'] == left
    assert runs.finish(pairs, workdir, **often)[0] == 0
    assert left_by(workdir) == left_by(tmp_path / 'whole')


def test_a_signal_in_the_last_evaluation_ends_the_run_which_then_makes_it(runs, pairs, tmp_path):
    once = {
        'train_images': 80,
        'evaluate_every_images': 80,
        'sample_every_images': 80,
        'evaluate_batch_size': 1,
    }
    assert runs.finish(pairs, tmp_path / 'whole', **once)[0] == 0
    status, tries = 0, 0
    while status == 0 and tries < 5:  # it may be past its last batch when it is stopped
        tries += 1
        workdir = tmp_path / f'interrupted_{tries}'
        run = runs.start(pairs, workdir, **once)
        # The loop asks whether to leave, then samples, then evaluates.
        run.stop_when((workdir / 'samples' / '00000080.png').exists)
        run.send(signal.SIGTERM)
        run.send(signal.SIGCONT)
        status = run.wait()
    assert status == 128 + signal.SIGTERM, run.output()
    assert 'saved at 80 images' in run.output()
    assert steps(workdir)[-1] == 20
    assert about(workdir, 20)['owed_evaluation']
    assert not steps(workdir, 'best')
    status, output = runs.finish(pairs, workdir, **once)
    assert status == 0, output
    assert 'final' in output
    assert 'nothing left to do' in runs.finish(pairs, workdir, **once)[1]
    found, expected = left_by(workdir), left_by(tmp_path / 'whole')
    assert found['checkpoints']['checkpoints', 20].pop('owed_evaluation')
    assert not expected['checkpoints']['checkpoints', 20].pop('owed_evaluation')
    assert found == expected


def test_a_full_disk_at_the_lock_is_one_line(small_disk):
    with contextlib.suppress(OSError), (small_disk / 'ballast').open('wb', buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(RunStopped, match='lock cannot be written: No space left'), locked(str(small_disk)):
        pass


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', refuse)
    with locked(str(tmp_path)):
        assert 'cannot be locked (No locks available)' in capsys.readouterr().err
