"""Several processes as one run, through the command line."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

from gan_transfer import processes
from gan_transfer.data.check import find_unreadable
from gan_transfer.errors import UserError
from gan_transfer.run_lock import locked
from tests import command
from tests.run_folder import about, flip_a_bit, metrics, steps

of_trained = pytest.mark.xdist_group('processes')


@pytest.mark.slow
def test_a_lost_process_ends_the_other_and_the_same_commands_go_on(tmp_path):
    workdir = tmp_path / 'run'
    arguments = (
        *command.two_processes_training(tmp_path / 'data'),
        '--config.checkpoint_every_images=40',
        f'--workdir={workdir}',
    )
    first, second = command.start_both(*arguments, '--config.train_images=400000')
    while not steps(workdir) and first.poll() is None:
        time.sleep(0.1)
    second.kill()
    command.end(second)
    status, out, lines = command.end(first)
    assert status != 0, out
    assert lines[-1].startswith(
        'error: process 0 of 2 cannot go on: it was killed, or another process is gone'
    )
    assert 'on 2 cpu device(s): fsdp 2' in out
    assert 'where one is lost the others end within 30 s' in out

    seen = 4 * steps(workdir)[-1]
    # A best and a newest checkpoint of one step, written side by side.
    evaluated = ('--config.evaluate_every_images=40', '--config.evaluation.protocols=paired_test')
    more = [*arguments, f'--config.train_images={seen + 40}', '--allow_config_change', *evaluated]
    (status, out, lines), (other_status, other_out, other_lines) = map(command.end, command.fork_both(*more))
    assert (status, other_status) == (0, 0), lines + other_lines
    assert int(re.search(r'resuming at (\d+) images', out)[1]) > 0
    assert out.splitlines()[-1].endswith('.png')
    assert 'paired_test, lpips_alexnet: final' in out
    (best,) = steps(workdir, 'best')
    assert best in steps(workdir)
    assert not [line for line in other_out.splitlines() if 'Gloo' not in line], 'only the first process talks'
    assert not lines + other_lines


def test_a_mistake_is_one_line_of_every_process(tmp_path):
    mesh = (
        '--config=configs/cyclegan.py:size=32,tiny',
        '--config.mesh.fsdp=3',
        f'--workdir={tmp_path / "run"}',
    )
    for status, _, lines in map(command.end, command.start_both(*mesh)):
        assert status == 2
        assert len(lines) == 1
        assert 'mesh.fsdp x mesh.spatial is 3 x 1 = 3, which does not divide the 2 device(s)' in lines[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('coordinator', 'message'),
    [
        ('127.0.0.1:abc', "is '127.0.0.1:abc'; it is written HOST:PORT, a port from 1 to 65535"),
        ('127.0.0.1', 'it is written HOST:PORT'),
        ('127.0.0.1:0', 'a port from 1 to 65535'),
        ('127.0.0.1:{port}', 'of this machine cannot be had: Address already in use'),
    ],
)
def test_a_coordinator_that_cannot_be(coordinator, message, tmp_path):
    with socket.create_server(('', 0)) as taken:
        coordinator = coordinator.format(port=taken.getsockname()[1])
        line = command.error_line(
            *command.TINY_CYCLEGAN,
            *(f'--coordinator={coordinator}', '--process_count=2', '--process_index=0'),
            f'--workdir={tmp_path / "run"}',
        )
    assert message in line


def test_processes_that_do_not_find_each_other_end_with_a_line(tmp_path):
    """The second of two with nobody at the address; JAX would abort it after minutes, with a dump of all threads."""
    port = command.free_port()
    code = (
        'from gan_transfer import processes\n'
        'processes.START_SECONDS = 3\n'
        f'with processes.joined("127.0.0.1:{port}", 2, 1): pass'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=command.ROOT)
    assert done.returncode != 0
    assert 'error: the processes did not find each other within 3 seconds' in done.stderr
    assert 'Current thread' not in done.stderr


def test_processes_of_a_cluster_that_does_not_say_who_they_are_do_not_run_each_alone(monkeypatch):
    def find_none(**_):
        raise ValueError('coordinator_address should be defined.')

    # What JAX says where it sees no cluster; here it would be too late to ask it, with devices in use.
    monkeypatch.setattr(processes, '_initialize', find_none)
    monkeypatch.delenv('SLURM_NTASKS', raising=False)
    assert not processes._start(None, None, None)
    monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '2')  # all that Open MPI 5 sets of what JAX looks for
    with pytest.raises(UserError, match=r'MPI started 2 processes .* --process_count=1 to run alone'):
        processes._start(None, None, None)

    def fail(**_):
        raise KeyError('job-name')

    # What JAX raises in a pod that belongs to no Job; there is no Kubernetes here.
    monkeypatch.setattr(processes, '_initialize', fail)
    monkeypatch.setenv('KUBERNETES_SERVICE_HOST', '10.0.0.1')
    with pytest.raises(
        UserError, match=r"Kubernetes does not tell .*'job-name'.* --process_count=1 runs alone"
    ):
        processes._start(None, None, None)


@pytest.mark.slow
def test_what_one_process_alone_meets_ends_the_others_too(tmp_path):
    """The first process finds the run locked, while the other one waits for it."""
    arguments = (*command.tiny_training(command.folder_data(tmp_path / 'data')), f'--workdir={tmp_path}')
    with locked(str(tmp_path)):
        (status, _, lines), (other_status, _, other_lines) = map(command.end, command.fork_both(*arguments))
    assert status == 2
    assert 'is being trained' in lines[-1]
    assert not [line for line in lines if 'killed' in line]
    assert other_status != 0
    assert 'process 1 of 2 cannot go on' in other_lines[-1]


@pytest.mark.slow
def test_a_signal_to_one_process_saves_and_ends_all(tmp_path):
    """Between steps, or in the middle of an evaluation, which is made when the run goes on."""
    workdir = tmp_path / 'run'
    arguments = (
        *command.two_processes_training(tmp_path / 'data'),
        *('--config.train_images=400000', '--config.evaluate_every_images=4', f'--workdir={workdir}'),
        '--config.evaluation.protocols=paired_test',
    )
    first, second = command.fork_both(*arguments)
    while not steps(workdir, 'best') and first.poll() is None:
        time.sleep(0.1)
    second.send_signal(signal.SIGTERM)
    (status, out, lines), (other_status, _, other_lines) = map(command.end, (first, second))
    assert (status, other_status) == (128 + signal.SIGTERM,) * 2, lines + other_lines
    (left,) = steps(workdir)
    assert f'saved at {4 * left} images' in out
    assert about(workdir, left)['owed_evaluation']

    end = (f'--config.train_images={4 * left + 4}', '--allow_config_change')
    (status, out, lines), (other_status, _, other_lines) = map(
        command.end, command.fork_both(*arguments, *end)
    )
    assert (status, other_status) == (0, 0), lines + other_lines
    assert [line['step'] for line in metrics(workdir) if 'evaluation/paired_test/psnr' in line][-2:] == [
        left,
        left + 1,
    ]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run of two processes with two checkpoints, each of whose arrays both have written."""
    place = tmp_path_factory.mktemp('two')
    arguments = (*command.two_processes_training(place / 'data'), f'--workdir={place / "run"}')
    end_well(command.fork_both(*arguments, '--config.train_images=16', '--config.checkpoint_every_images=8'))
    return place / 'run'


def end_well(started):
    """Waits for all processes, which must succeed; returns what the first one printed."""
    ended = [command.end(process) for process in started]
    assert [status for status, _, _ in ended] == [0, 0], ended
    return ended[0][1]


@of_trained
def test_evaluation_and_translation_of_two_processes_are_those_of_one(trained, tmp_path):
    evaluate = ('--mode=evaluate', f'--workdir={trained}')
    end_well(command.fork_both(*evaluate))
    path = trained / 'evaluation.json'
    found = json.loads(path.read_text())['protocols']
    command.launch(*evaluate)
    expected = json.loads(path.read_text())['protocols']
    for name, value in expected['paired_test']['mean'].items():
        assert found['paired_test']['mean'][name] == pytest.approx(value, rel=1e-3, abs=1e-3), name

    source = command.write(tmp_path / 'source.png', command.picture(0, 32, 32))
    translate = ('--mode=translate', f'--workdir={trained}', f'--source={source}')
    end_well(command.fork_both(*translate, f'--output={tmp_path / "two.png"}'))
    command.launch(*translate, f'--output={tmp_path / "one.png"}')
    two, one = (np.asarray(PIL.Image.open(tmp_path / name), np.int32) for name in ('two.png', 'one.png'))
    assert abs(two - one).max() <= 1


@of_trained
@pytest.mark.parametrize('mode', ['train', 'evaluate'])
def test_processes_that_found_other_images_unreadable_are_refused(mode, trained, tmp_path):
    """Else they would train on other images than one another, and evaluate other numbers of them."""
    root = trained.parent / 'data'
    key = 'test/1.png'
    caches = [{'GAN_TRANSFER_CACHE': str(tmp_path / name)} for name in ('one', 'other')]

    def broken(path):
        raise ValueError('broken')

    find_unreadable(root, {key: root / key}, tmp_path / 'other', 1, broken)
    more = ('--config.data.max_corrupt_share=0.5', '--allow_config_change')
    arguments = (f'--mode={mode}', f'--workdir={trained}', *more)
    for status, _, lines in map(command.end, command.fork_both(*arguments, environments=caches)):
        assert status == 2
        (line,) = (line for line in lines if line.startswith('error: '))
        assert line.startswith('error: the images that can be read differ from process to process')


@of_trained
def test_damage_is_told_by_two_processes_which_then_go_on_from_the_checkpoint_before(trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / 'run')
    flip_a_bit(workdir / 'checkpoints' / '4' / 'state')
    ended = [command.end(process) for process in command.fork_both(f'--workdir={workdir}')]
    assert 2 in [status for status, _, _ in ended]
    assert all(status for status, _, _ in ended)
    told = [line for _, _, lines in ended for line in lines if 'the checkpoint of step 4 is damaged' in line]
    assert told
    assert all('--config.checkpoint.on_damage=fallback' in line for line in told)

    # An array that one process alone cannot read ends both of them; then one process can go on.
    fallback = (*command.two_processes_training(tmp_path / 'data'), '--config.checkpoint.on_damage=fallback')
    options = ('--config.train_images=16', '--config.checkpoint_every_images=8', '--allow_config_change')
    out = command.launch(*fallback, *options, f'--workdir={workdir}', '--process_count=1').stdout
    assert 'resuming at 8 images' in out
    assert steps(workdir)[-1] == 4
    assert (workdir / 'aside' / 'checkpoints_4').is_dir()
