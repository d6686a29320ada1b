"""Mistakes on the command line: one line that names the choices, exit status 2."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import launch
from tests import command

CYCLEGAN, STARGAN_V2 = (
    '--config=configs/cyclegan.py:size=32,tiny',
    '--config=configs/stargan_v2.py:size=32,tiny',
)


@pytest.mark.parametrize(
    ('arguments', 'parts'),
    [
        ((CYCLEGAN, '--config.bach_size=4'), ('config.batch_size?', 'train_images')),
        ((CYCLEGAN, '--config.data.flp=1'), ('config.data.flip?', 'augmentation')),
        ((CYCLEGAN, '--config.method.passes=1'), ('--config.method.passes', 'cycle_weight')),
        ((CYCLEGAN, '--config.batch_size=2.5'), ('batch_size=2.5', 'is no whole number')),
        (('--config=configs/cyclegan.py:siz=32',), ("'siz'", "'size'", 'tiny')),
        (('--config=configs/nothing.py',), ("'configs/nothing.py'", 'there are: configs/cut.py, ')),
        (('--config=configs/nothing.py:size=32',), ("'configs/nothing.py';", 'there are: configs/cut.py, ')),
        ((CYCLEGAN, '--config.batch_size=many'), ("--config.batch_size=many: 'many' is no whole number",)),
        ((CYCLEGAN, '--config.optimizer.learning_rate=low'), ("learning_rate=low: 'low' is no number",)),
        (
            (CYCLEGAN, '--config.method.name=cut'),
            ('--config.method.name=cut: the other keys', 'such as --config=configs/cut.py'),
        ),
        (('--config=configs/cyclegn.py',), ('did you mean configs/cyclegan.py?',)),
        (
            ('--config=README.md',),
            ('--config=README.md is no config file: it takes a .py file, or the config',),
        ),
        (
            (
                '--config=configs/pix2pix.py:size=32,tiny',
                '--config.data.domains=openmoji,twemoji',
                '--mode=prepare',
            ),
            ('the training images of emoji are not pairs',),
        ),
        ((CYCLEGAN, '--mode=tran'), ('train|evaluate|compare|translate|prepare|import',)),
        ((CYCLEGAN, '--workdr=x'), ('workdr', 'workdir')),
        (('--config.batch_size=4', CYCLEGAN), ('--config.batch_size', 'before a value for --config')),
        ((CYCLEGAN,), ('--workdir',)),
        ((CYCLEGAN, 'stray', '--workdir=x'), ("'stray'",)),
        ((CYCLEGAN, '--workdir=x', '--source=a.png'), ('--source', '--mode=translate')),
        (
            (CYCLEGAN, '--workdir=x', '--config.batch_size=3'),
            ('batch_size is 3', '2 device', 'multiple of 2'),
        ),
        (
            (CYCLEGAN, '--workdir=x', '--config.mesh.data=3'),
            ('mesh.data x mesh.fsdp x mesh.spatial is 3 x 1 x 1 = 3', '2 device'),
        ),
        ((CYCLEGAN, '--workdir=x', '--process_index=1'), ('go together', '--coordinator is missing')),
        ((STARGAN_V2, '--workdir=x', '--config.image_size=36'), ('image_size is 36', 'powers of two')),
        ((CYCLEGAN, '--workdir=x', '--config.data.domains=twemoji'), ('2 domains', '1')),
        (
            (CYCLEGAN, '--workdir=x', '--config.data.source=folder', '--config.data.path=no/such'),
            ('no/such',),
        ),
        (('--mode=evaluate', '--workdir=no/such'), ('no/such', 'config.json')),
        (('--mode=translate', '--workdir=x', '--source=a.png'), ('--output',)),
    ],
    ids=lambda value: ' '.join(value)[-40:] if isinstance(value, tuple) else None,
)
def test_mistakes_are_one_line(arguments, parts):
    line = command.error_line(*arguments)
    for part in parts:
        assert part in line


def test_a_fault_of_a_config_file_keeps_its_traceback(tmp_path):
    path = tmp_path / 'broken.py'
    path.write_text(
        'from configs import common\n\ndef get_config():\n    return common.get_config().no_such_key\n'
    )
    result = command.launch(f'--config={path}', '--workdir=x', status=1)
    assert 'Traceback' in result.stderr
    assert 'no_such_key' in result.stderr


LIBRARIES_THAT_TELL = """
import asyncio, logging, launch
logging.error('a line that gives the root logger a handler')
launch.quiet_libraries()
loop = asyncio.new_event_loop()
loop.create_future().set_exception(ValueError('a write that nobody waited for'))
loop.close()
"""


def test_what_libraries_tell_beside_an_error_is_left_out():
    """A checkpoint that cannot be written is many failed writes, and asyncio would tell of each."""
    program = (sys.executable, '-c', LIBRARIES_THAT_TELL)
    result = subprocess.run(program, cwd=command.ROOT, capture_output=True, text=True, check=True)
    (line,) = result.stderr.splitlines()
    assert line.endswith('a line that gives the root logger a handler')


def test_too_little_memory_on_the_device_is_one_line(capsys):
    with pytest.raises(SystemExit) as left, launch.leave_with_one_line():
        jax.block_until_ready(jnp.zeros((2**52,)))
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 1
    assert line.startswith('error: the device has too little memory (')
    assert 'lower batch_size' in line


def test_help_names_every_mode_and_flag():
    out = command.launch('--help', status=1).stdout
    assert re.search(r'--mode: <(.*?)>', out, re.DOTALL)[1].split('|') == list(launch.MODES)
    named = re.findall(r'^ +--(?:\[no\])?(\w+): ', out, re.MULTILINE)
    assert set(named) == {'mode', *(name for names in launch.TAKES.values() for name in names)}
    assert set(launch.TAKES) == set(launch.NEEDS) == set(launch.MODES)


SMALL = {
    'cut_horse2zebra': (
        *('generator_width=4', 'generator_blocks=1', 'discriminator_width=4', 'projection_width=8'),
        "nce_layers=('padded','block_0')",
    ),
    'cyclegan_horse2zebra': ('generator_width=4', 'generator_blocks=1', 'discriminator_width=4'),
    'pix2pix_facades': ('generator_width=4', 'generator_depth=4', 'discriminator_width=4'),
    'stargan_v2_afhq': ('width=4', 'max_width=8', 'mapping_width=8', 'downsamplings=1'),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', SMALL)
def test_a_paper_s_config_takes_two_steps_on_made_data(name, tmp_path):
    make = command.side_by_side_data if name.startswith('pix2pix') else command.folder_data
    data = make(tmp_path / 'data')
    out = command.launch(
        f'--config=configs/{name}.py',
        *(f'--config.method.{change}' for change in SMALL[name]),
        '--config.image_size=32',
        '--config.batch_size=2',
        '--config.train_images=4',
        '--config.optimizer.schedule=constant',
        '--config.data.source=folder',
        f'--config.data.path={data}',
        f'--workdir={tmp_path / "run"}',
    ).stdout
    assert '2 steps of 2 images' in out
    assert (tmp_path / 'run' / 'samples' / '00000004.png').exists()
