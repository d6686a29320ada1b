"""Flags that a mode does not take, values out of range, and Ctrl-C."""

import pytest
from absl import flags

import launch
from configs import pix2pix
from gan_transfer import command_line, run_config
from tests import command

CONFIG = '--config=configs/cyclegan.py'


@pytest.mark.parametrize(
    ('arguments', 'parts'),
    [
        (
            (CONFIG, '--workdir=x', '--overwrite'),
            ('--overwrite is for --mode=translate or --mode=compile; the mode is train',),
        ),
        (
            ('--mode=evaluate', '--real=a', '--generated=b', '--workdir=x', '--process_count=2'),
            ('--process_count is for runs',),
        ),
        ((CONFIG, '--workdir=x', '--seed=0'), ('--seed is for --mode=translate',)),
        (
            (CONFIG, '--mode=prepare', '--workdir=x'),
            (
                '--workdir is for --mode=train or --mode=evaluate or --mode=compare or --mode=translate or '
                '--mode=import; the mode is prepare',
            ),
        ),
        ((CONFIG, '--mode=prepare', '--allow_config_change'), ('--allow_config_change is for',)),
        ((CONFIG, '--workdir='), ('--mode=train needs --workdir',)),
        ((CONFIG, '--workdir=launch.py'), ('--workdir: launch.py cannot be a folder', 'is a file')),
    ],
)
def test_what_a_mode_does_not_take_is_one_line(arguments, parts):
    line = command.error_line(*arguments)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ('override', 'part'),
    [
        ('config.batch_size=8', 'was started with another config (batch_size: 4 -> 8)'),
        ('noconfig.data.flip', 'was started with another config (data.flip: true -> false)'),
        ('config.bach_size=8', 'unknown key --config.bach_size; did you mean config.batch_size?'),
        ('config.evaluation.protocols=default', 'has no checkpoint yet'),
    ],
)
def test_overrides_without_a_config_are_of_the_run(tmp_path, override, part):
    config = pix2pix.get_config('size=32,tiny')
    run_config.save(str(tmp_path), config)
    arguments = (f'--workdir={tmp_path}', f'--{override}', '--mode=evaluate')
    assert part in command.error_line(*arguments)


def test_the_config_of_a_run_starts_another(tmp_path):
    config = pix2pix.get_config('size=32,tiny')
    config.data.domains, config.batch_size = ('red', 'blue'), 6
    run_config.save(str(tmp_path), config)
    line = command.error_line(f'--config={tmp_path}/config.json', '--workdir=x', '--config.image_size=64')
    assert "emoji has no domain 'red'" in line
    line = command.error_line('--config', f'{tmp_path}/config.json', '--workdir=x', '--config.accumulation=4')
    assert 'batch_size is 6; 2 device(s) with 4' in line
    line = command.error_line(f'--config={tmp_path}/no/config.json', '--workdir=x')
    assert "no run in '" in line


def test_no_other_argument_is_taken_for_the_config_of_a_run():
    output = '--output=out_config.json'
    for config in (('--config=config.json',), ('--config', 'config.json')):
        argv = command_line._with_saved_config(['launch.py', output, *config, output])
        assert argv == ['launch.py', output, f'--config={command_line.RUN_CONFIG}:.', output]


def test_names_that_look_like_numbers_stay_names():
    config = ('--config=configs/quickstart.py', '--workdir=x')
    line = command.error_line(*config, '--config.data.domains=2019_1, 1.10')
    assert "emoji has no domain '2019_1'" in line
    line = command.error_line(*config, '--config.data.domains', "001,van's")
    assert "emoji has no domain '001'" in line


def test_overrides_without_a_config_and_a_run_say_so(tmp_path):
    line = command.error_line(f'--workdir={tmp_path / "none"}', '--config.batch_size=8')
    assert 'no run in' in line
    assert '--mode=train with --config=FILE starts one' in line


def test_the_tables_of_flags_agree():
    assert set(launch.TAKES) == set(launch.NEEDS) == set(launch.MODES)
    for mode in launch.MODES:
        assert set(launch.NEEDS[mode]) <= set(launch.TAKES[mode])


def test_ctrl_c_is_one_line(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, 'check_flags', interrupted)
    flags.FLAGS(['launch.py'])
    with pytest.raises(SystemExit) as info:
        launch.main([])
    assert info.value.code == 130
    assert capsys.readouterr().err == 'error: interrupted\n'
