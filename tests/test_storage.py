"""Paths as users write them, and files that are written whole."""

import pathlib

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


@pytest.mark.parametrize('text', ['out[final]/img[a].png', 'a[/b].png', ':cat:.png'])
def test_what_is_printed_is_the_text_as_it_is(text, capsys):
    make_console().print(text)
    assert capsys.readouterr().out == f'{text}\n'
