"""The commit that results name: of this repository, of one with changes, of none."""

import subprocess

import pytest

from gan_transfer import code_version as module


@pytest.fixture(autouse=True)
def forgotten():
    module.code_version.cache_clear()
    yield
    module.code_version.cache_clear()


def git(folder, *arguments):
    who = ('-c', 'user.name=a', '-c', 'user.email=a@b')
    return subprocess.run(
        ['git', '-C', str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_and_changes_to_it_are_told_as_they_were_at_the_first_look(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'ROOT', tmp_path)
    assert module.code_version() == '', 'no repository'
    git(tmp_path, 'init', '-q')
    (tmp_path / 'file').write_text('one')
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '-qm', 'one')
    git(tmp_path, 'tag', '-am', 'release', 'v1')
    module.code_version.cache_clear()
    commit = git(tmp_path, 'rev-parse', 'HEAD')[:12]
    assert module.code_version() == commit
    (tmp_path / 'file').write_text('two')
    assert module.code_version() == commit, 'the process runs what it was started with'
    module.code_version.cache_clear()
    assert module.code_version() == f'{commit}-dirty'


def test_without_git_nothing_is_told(monkeypatch):
    monkeypatch.setenv('PATH', '')
    assert module.code_version() == ''
