"""Drawing by several processes, and what is told of its progress."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from gan_transfer.data import in_processes, pets, progress
from gan_transfer.data.artwork import open_artwork, prepare_artwork
from gan_transfer.errors import RunStopped
from tests.data.painted import KEYS, image_of, made


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, 'SECONDS', -1.0)
    assert list(progress.track(range(3), 'drawing')) == [0, 1, 2]
    assert capsys.readouterr().err.splitlines() == [f'drawing: {i} of 3' for i in range(3)]
    assert list(progress.track(iter('ab'), 'reading')) == ['a', 'b']
    assert capsys.readouterr().err.splitlines() == ['reading: 0', 'reading: 1']
    monkeypatch.setattr(progress, 'SECONDS', 1000.0)
    assert list(progress.track(range(3), 'drawing')) == [0, 1, 2]
    assert not capsys.readouterr().err


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
