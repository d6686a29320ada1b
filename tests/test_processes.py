"""Several processes as one run, through the command line."""

import re
import time

from gan_transfer.run_lock import locked
from tests import command
from tests.run_folder import steps


def test_a_lost_process_ends_the_other_and_the_same_commands_go_on(tmp_path):
    workdir = tmp_path / 'run'
    arguments = (
        *command.two_processes_training(tmp_path / 'data'),
        '--config.checkpoint_every_images=40',
        f'--workdir={workdir}',
    )
    first, second = command.start_all([*arguments, '--config.train_images=400000'])
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
    (status, out, lines), (other_status, other_out, other_lines) = map(command.end, command.start_all(more))
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
    for status, _, lines in map(command.end, command.start_all(mesh)):
        assert status == 2
        assert len(lines) == 1
        assert 'mesh.fsdp x mesh.spatial is 3 x 1 = 3, which does not divide the 2 device(s)' in lines[0]
    assert not list(tmp_path.iterdir())


def test_what_one_process_alone_meets_ends_the_others_too(tmp_path):
    """The first process finds the run locked, while the other one waits for it."""
    arguments = (*command.tiny_training(command.folder_data(tmp_path / 'data')), f'--workdir={tmp_path}')
    with locked(str(tmp_path)):
        (status, _, lines), (other_status, _, other_lines) = map(command.end, command.start_all(arguments))
    assert status == 2
    assert 'is being trained' in lines[-1]
    assert not [line for line in lines if 'killed' in line]
    assert other_status != 0
    assert 'process 1 of 2 cannot go on' in other_lines[-1]
