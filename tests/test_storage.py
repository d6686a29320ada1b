"""Paths as users write them, and files that are written whole."""

import errno
import os
import pathlib
import time

import pytest

from gan_transfer import storage
from gan_transfer.terminal import make_console


def test_the_home_folder_is_meant_where_a_shell_leaves_it(monkeypatch):
    monkeypatch.setenv('HOME', '/home/somebody')
    assert storage.place('~/runs', 'a') == pathlib.Path('/home/somebody/runs/a')
    assert storage.place('~') == pathlib.Path('/home/somebody')
    assert storage.place('runs/~/~a') == pathlib.Path('runs/~/~a')


def test_a_file_may_have_the_longest_name_there_is(tmp_path):
    path = tmp_path / ('n' * 251 + '.png')
    for content in (b'one', b'two'):
        storage.write(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one(tmp_path):
    there, link = tmp_path / 'there', tmp_path / 'link'
    there.write_bytes(b'one')
    link.symlink_to(there)
    storage.write(link, b'two')
    assert link.is_symlink()
    assert there.read_bytes() == b'two'


@pytest.mark.parametrize('text', ['out[final]/img[a].png', 'a[/b].png', ':cat:.png'])
def test_what_is_printed_is_the_text_as_it_is(text, capsys):
    make_console().print(text)
    assert capsys.readouterr().out == f'{text}\n'


def test_a_file_is_on_the_disk_before_it_takes_its_name_and_two_writers_do_not_meet(tmp_path, monkeypatch):
    path, sync, seen = tmp_path / 'file', os.fsync, []

    def meanwhile(number):
        seen.append(path.exists())
        monkeypatch.setattr(os, 'fsync', sync)
        storage.write(path, b'by another')
        sync(number)

    monkeypatch.setattr(os, 'fsync', meanwhile)
    storage.write(path, b'by the first')
    assert seen == [False]
    assert path.read_bytes() == b'by the first'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(('owner', 'step'), [(os, 'fsync'), (pathlib.Path, 'replace')])
def test_what_cannot_be_written_is_named_and_leaves_what_was_there(owner, step, tmp_path, monkeypatch):
    path = tmp_path / 'file'
    storage.write(path, b'before')

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(owner, step, full)
    with pytest.raises(OSError, match='No space left') as caught:
        storage.write(path, b'now')
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b'before'
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_writes_have_left_goes_when_it_is_old(tmp_path):
    old, young, other = (tmp_path / f'.{name}.partial' for name in ('0123456789abcdef', 'f' * 16, 'mine'))
    for path in (old, young, other):
        path.write_bytes(b'')
    for path in (old, other):
        os.utime(path, (time.time() - 2 * storage.LEFT_SECONDS,) * 2)
    storage.write(tmp_path / 'file', b'')
    assert sorted(tmp_path.iterdir()) == sorted((young, other, tmp_path / 'file'))
