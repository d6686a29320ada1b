"""Flags of the compiler: the installed jaxlib takes them, the user's own stay."""

import os
import subprocess
import sys

from gan_transfer import xla_flags


def test_flags_are_known_to_the_installed_jaxlib(monkeypatch):
    monkeypatch.setenv('XLA_FLAGS', '')
    xla_flags.set_flags()
    # XLA aborts the process at a flag or a value that it does not know.
    program = 'import jax; assert float(jax.jit(lambda x: x + 1)(1.0)) == 2'
    subprocess.run([sys.executable, '-c', program], env=dict(os.environ), check=True)


def test_flags_of_the_user_stay(monkeypatch):
    name = 'xla_cpu_experimental_ynn_fusion_type'
    monkeypatch.setenv('XLA_FLAGS', f'--{name}= --xla_dump_to=there')
    xla_flags.set_flags()
    assert os.environ['XLA_FLAGS'].split() == [f'--{name}=', '--xla_dump_to=there']


def test_other_versions_get_no_flag_that_they_may_not_know(monkeypatch):
    monkeypatch.setenv('XLA_FLAGS', '')
    monkeypatch.setattr(xla_flags.importlib.metadata, 'version', lambda name: '9.1.2')
    xla_flags.set_flags()
    assert os.environ['XLA_FLAGS'] == ''
