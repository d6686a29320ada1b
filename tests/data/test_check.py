"""Which images of folders cannot be read, and what is remembered of that between starts."""

import errno
import os

import PIL.Image
import pytest

from gan_transfer import storage
from gan_transfer.data import check
from gan_transfer.data.check import find_unreadable
from gan_transfer.data.decode import read_image

PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new('RGB', (6, 4)).save(path)


@pytest.fixture
def read():
    """Returns the names of the files that `decode` is called with."""
    return []


@pytest.fixture
def find(read):
    def decode(path):
        read.append(path.name)
        return read_image(path)

    def find(root, names, cache, threads):
        return find_unreadable(root, {name: root / name for name in names}, cache, threads, decode)

    return find


def test_only_what_changed_is_decoded_again(read, find, tmp_path):
    root, cache = tmp_path / 'root', tmp_path / 'cache'
    names = [f'{index}.png' for index in range(6)]
    for name in names:
        write(root / name)
    (root / '2.png').write_bytes(b'broken')
    for _ in range(2):
        assert list(find(root, names, cache, 2)) == ['2.png']
        assert sorted(read) == names
    write(root / '2.png')
    (root / '4.png').write_bytes(b'broken too')
    assert list(find(root, names, cache, 2)) == ['4.png']
    assert sorted(read[6:]) == ['2.png', '4.png']


def test_another_version_of_the_reader_looks_at_everything(read, find, tmp_path, monkeypatch):
    (tmp_path / 'a.png').write_bytes(b'broken')
    for reader, times in (('1', 1), ('2', 2), ('1', 2)):
        monkeypatch.setattr(check, 'READER', reader)
        assert list(find(tmp_path, ['a.png'], tmp_path / 'cache', 1)) == ['a.png']
        assert read == ['a.png'] * times


def test_other_files_of_a_folder_are_known_still(read, find, tmp_path):
    for name in ('a.png', 'b.png'):
        write(tmp_path / name)
    for name in ('a.png', 'b.png', 'a.png', 'b.png'):
        assert find(tmp_path, [name], tmp_path / 'cache', 1) == {}
    assert read == ['a.png', 'b.png']


def test_what_could_not_be_read_at_all_is_tried_at_the_next_start(tmp_path):
    write(tmp_path / 'a.png')
    found = []
    for error in (PermissionError(errno.EACCES, 'no rights'), None):

        def read(path, error=error):
            if error:
                raise error

        found.append(find_unreadable(tmp_path, {'a': tmp_path / 'a.png'}, tmp_path / 'cache', 1, read))
    assert found == [{'a': '[Errno 13] no rights'}, {}]


@pytest.mark.parametrize(
    'error',
    [
        *(OSError(number, os.strerror(number)) for number in PASSING),
        *(MemoryError(), storage.Unreachable('gs://bucket: 503')),
    ],
    ids=lambda error: str(error) or 'memory',
)
def test_what_says_nothing_of_an_image_ends_the_start(error, tmp_path):
    write(tmp_path / 'a.png')

    def read(path):
        raise error

    with pytest.raises(OSError, match=r'^a cannot be read now: .*; the same command tries again$'):
        find_unreadable(tmp_path, {'a': tmp_path / 'a.png'}, tmp_path / 'cache', 1, read)
    assert find_unreadable(tmp_path, {'a': tmp_path / 'a.png'}, tmp_path / 'cache', 1) == {}


def test_a_cache_that_cannot_be_written_is_no_fault_of_the_data(read, find, tmp_path):
    write(tmp_path / 'root' / 'a.png')
    (tmp_path / 'cache').write_text('a file')
    for _ in range(2):
        assert find(tmp_path / 'root', ['a.png'], tmp_path / 'cache', 1) == {}
    assert read == ['a.png', 'a.png']


@pytest.mark.parametrize(
    ('end', 'expected'),
    [(OSError(errno.ESTALE, 'stale'), OSError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_what_was_looked_at_before_a_check_ended_is_known_still(end, expected, tmp_path):
    names = [f'{index}.png' for index in range(6)]
    for name in names:
        write(tmp_path / name)
    files = {name: tmp_path / name for name in names}
    read, ends = [], {'4.png': end}

    def decode(path):
        read.append(path.name)
        if path.name in ends:
            raise ends.pop(path.name)

    with pytest.raises(expected):
        find_unreadable(tmp_path, files, tmp_path / 'cache', 1, decode)
    before = len(read)
    assert find_unreadable(tmp_path, files, tmp_path / 'cache', 1, decode) == {}
    assert read[before:] == ['4.png', '5.png']


def test_a_record_that_cannot_be_saved_leaves_nothing_behind(find, tmp_path, monkeypatch, caplog):
    def refuse(*paths):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write(tmp_path / 'a.png')
    monkeypatch.setattr(check.os, 'replace', refuse)
    assert find(tmp_path, ['a.png'], tmp_path / 'cache', 1) == {}
    assert list((tmp_path / 'cache').iterdir()) == []
    assert 'cannot be written: No space left on device' in caplog.text


def test_a_broken_record_is_made_anew(read, find, tmp_path):
    write(tmp_path / 'a.png')
    find(tmp_path, ['a.png'], tmp_path / 'cache', 1)
    (record,) = (tmp_path / 'cache').iterdir()
    record.write_text('{"a.png": [1')
    assert find(tmp_path, ['a.png'], tmp_path / 'cache', 1) == {}
    assert read == ['a.png', 'a.png']


def test_folders_have_records_of_their_own(read, find, tmp_path):
    for name in ('one', 'two'):
        write(tmp_path / name / 'a.png')
        find(tmp_path / name, ['a.png'], tmp_path / 'cache', 1)
    assert len(read) == 2
