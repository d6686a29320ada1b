"""Several processes as one run, through the command line."""

import os
import re
import subprocess
import sys
import time

from tests import command


def start(arguments, count=2):
    """Starts so many processes of launch.py, of one device each."""
    port = command.free_port()
    flags = '--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=1'
    environment = {**os.environ, 'XLA_FLAGS': flags, 'COLUMNS': '160'}
    environment['JAX_COORDINATOR_BIND_ADDRESS'] = f'127.0.0.1:{port}'
    where = (f'--coordinator=127.0.0.1:{port}', f'--process_count={count}')
    return [
        subprocess.Popen(
            [sys.executable, 'launch.py', *arguments, *where, f'--process_index={index}'],
            cwd=command.ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def end(process):
    """Returns status, output and lines of the standard error; a process that hangs is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    return process.returncode, out, [line for line in err.splitlines() if line.strip()]


def saved(workdir):
    """Returns the steps that there are checkpoints of."""
    return sorted(int(path.name) for path in workdir.glob('checkpoints/*') if path.name.isdecimal())


def test_a_lost_process_ends_the_other_and_the_same_commands_go_on(tmp_path):
    workdir = tmp_path / 'run'
    arguments = (
        *('--config=configs/pix2pix.py:size=32,tiny', '--config.method.generator_depth=4'),
        *('--config.optimizer.schedule=constant', '--config.data.source=folder'),
        *('--config.log_every_images=8', '--config.checkpoint_every_images=40', '--config.mesh.fsdp=2'),
        f'--config.data.path={command.side_by_side_data(tmp_path / "data")}',
        f'--workdir={workdir}',
    )
    first, second = start([*arguments, '--config.train_images=400000'])
    while not saved(workdir) and first.poll() is None:
        time.sleep(0.1)
    second.kill()
    end(second)
    status, out, lines = end(first)
    assert status != 0, out
    assert lines[-1].startswith(
        'error: process 0 of 2 cannot go on: it was killed, or another process is gone'
    )
    assert 'on 2 cpu device(s): fsdp 2' in out
    assert 'where one is lost the others end within 30 s' in out

    seen = 4 * saved(workdir)[-1]
    more = [*arguments, f'--config.train_images={seen + 40}', '--allow_config_change']
    (status, out, lines), (other_status, other_out, other_lines) = map(end, start(more))
    assert (status, other_status) == (0, 0), lines + other_lines
    assert int(re.search(r'resuming at (\d+) images', out)[1]) > 0
    assert out.splitlines()[-1].endswith('.png')
    assert not [line for line in other_out.splitlines() if 'Gloo' not in line], 'only the first process talks'
    assert not lines + other_lines


def test_a_mistake_is_one_line_of_every_process(tmp_path):
    mesh = (
        '--config=configs/cyclegan.py:size=32,tiny',
        '--config.mesh.fsdp=3',
        f'--workdir={tmp_path / "run"}',
    )
    for status, _, lines in map(end, start(mesh)):
        assert status == 2
        assert len(lines) == 1
        assert 'mesh.fsdp x mesh.spatial is 3 x 1 = 3, which does not divide the 2 device(s)' in lines[0]
    assert not list(tmp_path.iterdir())
