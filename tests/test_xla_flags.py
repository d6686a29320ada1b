"""Flags of the compiler: the installed jaxlib takes them, the user's own stay."""

import os
import subprocess
import sys

import pytest

from gan_transfer import xla_flags


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ('XLA_FLAGS', 'LIBTPU_INIT_ARGS'):
        monkeypatch.setenv(name, '')


def test_flags_are_known_to_the_installed_jaxlib():
    xla_flags.set_flags()
    # XLA aborts the process at a flag or a value that it does not know.
    program = 'import jax; assert float(jax.jit(lambda x: x + 1)(1.0)) == 2'
    subprocess.run([sys.executable, '-c', program], env=dict(os.environ), check=True)


@pytest.mark.parametrize(
    ('variable', 'name'),
    [
        ('XLA_FLAGS', 'xla_cpu_experimental_ynn_fusion_type'),
        ('LIBTPU_INIT_ARGS', 'xla_jf_crs_combiner_threshold_in_bytes'),
    ],
)
def test_flags_of_the_user_stay(variable, name, monkeypatch):
    xla_flags.set_flags()
    assert f'--{name}=' in os.environ[variable]
    monkeypatch.setenv(variable, f'--{name}=1 --xla_dump_to=there')
    xla_flags.set_flags()
    assert os.environ[variable].split() == [f'--{name}=1', '--xla_dump_to=there']


def test_a_file_of_flags_stays_the_only_source_of_them(monkeypatch, tmp_path):
    monkeypatch.setenv('XLA_FLAGS', str(tmp_path / 'flags'))
    xla_flags.set_flags()
    assert os.environ['XLA_FLAGS'] == str(tmp_path / 'flags')
    assert '--' in os.environ['LIBTPU_INIT_ARGS']


def test_other_versions_get_no_flag_that_they_may_not_know(monkeypatch):
    monkeypatch.setattr(xla_flags.importlib.metadata, 'version', lambda name: '9.1.2')
    xla_flags.set_flags()
    assert os.environ['XLA_FLAGS'] == os.environ['LIBTPU_INIT_ARGS'] == ''
