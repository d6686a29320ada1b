"""Prepared artwork that is not whole: interrupted, killed, damaged, on a full disk."""

import errno
import os
import pathlib
import socket
import uuid

import pytest

from gan_transfer.data import artwork as artwork_lib
from gan_transfer.data.artwork import is_test, open_artwork, prepare_artwork
from gan_transfer.errors import RunStopped
from tests.data.painted import KEYS, Painter, made


def test_interrupted_preparation_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        open_artwork(made(Painter(stop_at=20)), 8, tmp_path)
    assert list(tmp_path.iterdir()) == []
    painter = Painter()
    dataset = open_artwork(made(painter), 8, tmp_path)
    assert painter.calls == len(KEYS)
    assert len(dataset.test['a']) == sum(map(is_test, KEYS))


def test_killed_preparation_is_not_taken_for_a_finished_one(tmp_path, monkeypatch):
    # A killed process cleans nothing up: what it leaves is the folder it worked in.
    with monkeypatch.context() as patch:
        patch.setattr(artwork_lib.shutil, 'rmtree', lambda *args, **kwargs: None)
        with pytest.raises(KeyboardInterrupt):
            open_artwork(made(Painter(stop_at=20)), 8, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    painter = Painter()
    open_artwork(made(painter), 8, tmp_path)
    assert painter.calls == len(KEYS)


def cut(path):
    os.truncate(path, path.stat().st_size - 100)


def empty(path):
    os.truncate(path, 0)


def overwrite(path):
    with path.open('r+b') as file:
        file.write(bytes(path.stat().st_size))


def fails_as_damaged(call, folder):
    match = f'prepared data in {folder} is damaged: .+; remove it, and it is made anew$'
    with pytest.raises((OSError, RunStopped), match=match) as info:
        call()
    assert '\n' not in str(info.value)


@pytest.mark.parametrize('damage', [cut, empty, overwrite, pathlib.Path.unlink])
@pytest.mark.parametrize('name', ['*.array_record*', 'dataset_info.json', 'features.json'])
def test_damaged_data_is_one_line_that_says_what_to_remove(name, damage, tmp_path):
    folder = prepare_artwork(made(Painter()), 8, tmp_path, limit=20)
    (path,) = folder.glob(name)
    damage(path)
    fails_as_damaged(lambda: open_artwork(made(Painter()), 8, tmp_path, limit=20), folder)


@pytest.mark.parametrize('damage', [empty, overwrite])
def test_records_that_break_under_an_open_run_are_one_line(damage, tmp_path):
    dataset = open_artwork(made(Painter()), 64, tmp_path)  # too large to be held by the library
    (record,) = tmp_path.glob('*/*.array_record*')
    damage(record)
    fails_as_damaged(lambda: list(dataset.train['a']), record.parent)


def test_want_of_open_files_is_no_damage(tmp_path, monkeypatch):
    prepare_artwork(made(Painter()), 8, tmp_path, limit=20)

    def refuse(folder):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(folder))

    monkeypatch.setattr(artwork_lib.tfds, 'builder_from_directory', refuse)
    with pytest.raises(OSError, match=r'^\[Errno 24\] Too many open files'):
        open_artwork(made(Painter()), 8, tmp_path, limit=20)


def test_what_a_killed_preparation_left_is_removed_later(tmp_path):
    dead, alive = 2**22 + 1, os.getpid()  # no process has a number above 2^22
    host = socket.gethostname()
    owners = (host, dead), (host, alive), (f'{host}-2', dead)
    left = [tmp_path / f'.unfinished-{name}-{pid}-{uuid.uuid4().hex}' for name, pid in owners]
    for folder in left:
        (folder / 'made').mkdir(parents=True)
        os.utime(folder, (0, 0))
    prepare_artwork(made(Painter()), 8, tmp_path, limit=3)
    assert all(folder.exists() for folder in left), 'it may be written to'
    for folder in left:
        os.utime(folder / 'made', (0, 0))
        os.utime(folder, (0, 0))
    prepare_artwork(made(Painter()), 8, tmp_path, limit=4)
    assert [folder.exists() for folder in left] == [False, True, True]


def test_a_full_disk_is_one_line_and_a_fault_of_the_drawing_is_not(tmp_path, monkeypatch):
    def fails(text):
        def prepare(*_, **__):
            raise RuntimeError(text)

        return prepare

    monkeypatch.setattr(
        artwork_lib.ArtworkBuilder, 'download_and_prepare', fails('Failed to finalize writing: full')
    )
    with pytest.raises(OSError, match=f'{tmp_path} cannot be written: Failed to finalize'):
        prepare_artwork(made(Painter()), 8, tmp_path)
    monkeypatch.setattr(artwork_lib.ArtworkBuilder, 'download_and_prepare', fails('no PNG of an image'))
    with pytest.raises(RuntimeError, match='no PNG'):
        prepare_artwork(made(Painter()), 8, tmp_path)
