import concurrent.futures
import errno
import importlib.metadata
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest
from tensorflow_datasets.core.utils import tqdm_utils

from gan_transfer.data import artwork as artwork_lib
from gan_transfer.data import emoji, in_processes, pets, progress
from gan_transfer.data.artwork import Artwork, bucket, is_test, open_artwork, prepare_artwork, share
from gan_transfer.errors import RunStopped

KEYS = [f'{number:x}' for number in range(1000, 1060)]


def image_of(key, domain, size):
    rng = np.random.default_rng([int(key, 16), ord(domain)])
    return rng.integers(0, 256, (size, size, 3), np.uint8)


class Painter:
    """Stands in for a renderer: counts its calls and may be interrupted."""

    def __init__(self, stop_at=None):
        self.calls = 0
        self.stop_at = stop_at

    def __call__(self, key, size):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        return {domain: image_of(key, domain, size) for domain in 'abc'}


def made(painter, **changes):
    fields = {
        'name': 'made',
        'domains': ('a', 'b', 'c'),
        'packages': ('numpy', 'pillow'),
        'requirement': 'numpy pillow',
        'version': 1,
        'licence': 'none',
        'keys': lambda: list(KEYS),
        'render': painter,
    }
    return Artwork(**{**fields, **changes})


def sets(images):
    return {domain: set(images[domain].keys) for domain in images}


# A change here would mix what runs of the past trained on with what they were tested on.
@pytest.mark.parametrize(
    ('key', 'in_bucket', 'of_two', 'of_three'),
    [('1f600', 5, 1, 0), ('2764', 8, 0, 2), ('1f431', 8, 1, 2), ('1f3e0', 7, 1, 0), ('4e00', 9, 1, 0)],
)
def test_split_of_a_key_never_changes(key, in_bucket, of_two, of_three):
    assert bucket(key) == in_bucket
    assert share(key, 2) == of_two
    assert share(key, 3) == of_three
    assert is_test(key) == (in_bucket in (8, 9))


@pytest.mark.parametrize('domains', [(), ('a', 'b'), ('c', 'a'), ('b',)])
def test_training_sets_are_disjoint_and_test_sets_equal(tmp_path, domains):
    dataset = open_artwork(made(Painter()), 8, tmp_path, domains)
    assert dataset.domains == (domains or ('a', 'b', 'c'))
    train, test = sets(dataset.train), sets(dataset.test)
    together = set().union(*train.values())
    assert len(together) == sum(len(keys) for keys in train.values())
    assert all(train.values())
    assert together == {key for key in KEYS if not is_test(key)}
    first = dataset.test[dataset.domains[0]].keys
    assert list(first) == sorted(key for key in KEYS if is_test(key))
    assert all(dataset.test[domain].keys == first for domain in dataset.domains)
    assert not together & set().union(*test.values())
    assert dataset.paired_test


def test_share_keys_gives_every_domain_all_training_keys(tmp_path):
    dataset = open_artwork(made(Painter()), 8, tmp_path, share_keys=True)
    expected = {key for key in KEYS if not is_test(key)}
    assert sets(dataset.train) == dict.fromkeys('abc', expected)


def test_images_are_stored_without_loss_under_their_key(tmp_path):
    dataset = open_artwork(made(Painter()), 8, tmp_path)
    for images in (dataset.train, dataset.test):
        for domain in dataset.domains:
            for index, key in enumerate(images[domain].keys):
                example = images[domain][index]
                assert example.key == key
                np.testing.assert_array_equal(example.image, image_of(key, domain, 8))


def test_rendered_once_and_once_more_for_another_version_or_size(tmp_path, monkeypatch):
    painter = Painter()
    open_artwork(made(painter), 8, tmp_path)
    open_artwork(made(painter), 8, tmp_path, ('a', 'b'), share_keys=True)
    assert painter.calls == len(KEYS)
    open_artwork(made(painter), 12, tmp_path)
    assert painter.calls == 2 * len(KEYS)
    open_artwork(made(painter, version=2), 8, tmp_path)
    assert painter.calls == 3 * len(KEYS)
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, 'version', lambda name: '99' if name == 'pillow' else real(name))
    open_artwork(made(painter), 8, tmp_path)
    assert painter.calls == 4 * len(KEYS)
    assert len(list(tmp_path.iterdir())) == 4


def test_new_pixels_are_read_after_a_version_changed(tmp_path):
    open_artwork(made(Painter()), 8, tmp_path)
    white = {domain: np.full((8, 8, 3), 255, np.uint8) for domain in 'abc'}
    dataset = open_artwork(made(lambda key, size: white, version=2), 8, tmp_path)
    assert dataset.train['a'][0].image.min() == 255


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


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, 'SECONDS', -1.0)
    assert list(progress.track(range(3), 'drawing')) == [0, 1, 2]
    assert capsys.readouterr().err.splitlines() == [f'drawing: {i} of 3' for i in range(3)]
    assert list(progress.track(iter('ab'), 'reading')) == ['a', 'b']
    assert capsys.readouterr().err.splitlines() == ['reading: 0', 'reading: 1']
    monkeypatch.setattr(progress, 'SECONDS', 1000.0)
    assert list(progress.track(range(3), 'drawing')) == [0, 1, 2]
    assert not capsys.readouterr().err


def test_two_processes_may_prepare_at_once(tmp_path):
    slow = Painter()

    def render_while_another_finishes(key, size):
        if slow.calls == 0:
            prepare_artwork(made(Painter()), 8, tmp_path)
        return slow(key, size)

    folder = prepare_artwork(made(render_while_another_finishes), 8, tmp_path)
    assert slow.calls == len(KEYS)
    assert list(tmp_path.iterdir()) == [folder]


def test_limit_is_a_preparation_of_its_own(tmp_path):
    painter = Painter()
    limited = open_artwork(made(painter), 8, tmp_path, limit=20)
    assert painter.calls == 20
    assert sum(map(len, limited.train.values())) + len(limited.test['a']) == 20
    open_artwork(made(painter), 8, tmp_path)
    assert painter.calls == 20 + len(KEYS)


def test_unknown_domain_names_the_choices(tmp_path):
    with pytest.raises(ValueError, match="made has no domain 'd'; it has: a, b, c"):
        open_artwork(made(Painter()), 8, tmp_path, ('a', 'd'))
    with pytest.raises(ValueError, match='twice: a, a'):
        open_artwork(made(Painter()), 8, tmp_path, ('a', 'a'))
    assert list(tmp_path.iterdir()) == []


def test_missing_package_names_what_to_install(tmp_path):
    with pytest.raises(ValueError, match='needs the package no-such-art: pip install no-such-art') as info:
        open_artwork(made(Painter(), packages=('no-such-art',), requirement='no-such-art'), 8, tmp_path)
    assert '\n' not in str(info.value)


def test_nothing_is_printed(tmp_path, capfd):
    prepare_artwork(made(Painter()), 8, tmp_path)
    assert capfd.readouterr().out == ''


def test_emoji_as_a_dataset(emoji_cache):
    dataset = open_artwork(emoji.artwork(), 32, emoji_cache, limit=60)
    assert dataset.name == 'emoji'
    assert dataset.domains == ('twemoji', 'openmoji', 'openmoji_line')
    assert 'CC-BY 4.0' in dataset.licence
    assert 'CC-BY-SA 4.0' in dataset.licence
    assert dataset.truth is None
    assert dataset.factors is None
    for index in range(len(dataset.test['twemoji'])):
        examples = {domain: dataset.test[domain][index] for domain in dataset.domains}
        assert len({example.key for example in examples.values()}) == 1
        drawn = emoji.render(examples['twemoji'].key, 32)
        for domain, example in examples.items():
            np.testing.assert_array_equal(example.image, drawn[domain])


@pytest.mark.parametrize('active', [False, True])
def test_the_progress_bars_of_tfds_stay_as_they_were(active, monkeypatch, tmp_path):
    monkeypatch.setattr(tqdm_utils, '_active', active)
    prepare_artwork(made(Painter()), 4, tmp_path, limit=2)
    assert tqdm_utils._active is active


def test_many_keys_are_drawn_by_several_processes_and_stay_in_order(tmp_path, monkeypatch):
    started = []
    real = concurrent.futures.ProcessPoolExecutor
    monkeypatch.setattr(
        in_processes.concurrent.futures,
        'ProcessPoolExecutor',
        lambda workers, *args, **kwargs: started.append(workers) or real(workers, *args, **kwargs),
    )
    monkeypatch.setattr(in_processes.os, 'sched_getaffinity', lambda process: set(range(16)))
    monkeypatch.setattr(in_processes, 'AT_ONCE', 300)
    count = 2 * in_processes.ITEMS_PER_PROCESS
    dataset = open_artwork(pets.artwork(count), 8, tmp_path, share_keys=True)
    assert started == [2]
    assert len(dataset.train['cat']) + len(dataset.test['cat']) == count
    examples = [
        example for i in range(0, 20, 3) for example in (dataset.train['cat'][i], dataset.test['dog'][i])
    ]
    for example, domain in zip(examples, ('cat', 'dog') * 10, strict=False):
        np.testing.assert_array_equal(example.image, pets.render(example.key, 8)[domain])


def render_with_a_kill(key, size):
    if key == KEYS[30] and multiprocessing.parent_process():  # never the tests themselves
        os.kill(os.getpid(), signal.SIGKILL)
    return {domain: image_of(key, domain, size) for domain in 'abc'}


def test_a_drawing_process_that_is_killed_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(in_processes.os, 'sched_getaffinity', lambda process: {0, 1})
    monkeypatch.setattr(in_processes, 'ITEMS_PER_PROCESS', 20)
    with pytest.raises(
        RunStopped, match=r'^a process that draws was killed.*; the same command begins anew$'
    ):
        prepare_artwork(made(render_with_a_kill), 8, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_draw_end_with_the_one_that_asked(tmp_path):
    script = tmp_path / 'draw.py'
    script.write_text(
        """
import os, pathlib, sys, time
from gan_transfer.data import in_processes

def draw(item):
    (pathlib.Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(0.01)

if __name__ == '__main__':
    in_processes.os.sched_getaffinity = lambda process: {0, 1}
    for _ in in_processes.map_in_processes(draw, range(20_000)):
        pass
"""
    )
    (tmp_path / 'workers').mkdir()
    root = pathlib.Path(in_processes.__file__).parents[2]
    asking = subprocess.Popen(
        [sys.executable, script, tmp_path / 'workers'], env={**os.environ, 'PYTHONPATH': str(root)}
    )
    deadline = time.monotonic() + 60
    while len(workers := list((tmp_path / 'workers').iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    asking.kill()
    asking.wait()
    while any(pathlib.Path(f'/proc/{worker.name}').exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


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
