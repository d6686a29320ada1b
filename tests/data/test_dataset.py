from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from absl import logging

from gan_transfer.data.dataset import Faults, Images, MemoryBudget, select_domains

PIXEL_BYTES = 4 * 4 * 3


class Reader:
    def __init__(self, unreadable=()):
        self.calls = []
        self.unreadable = set(unreadable)

    def __call__(self, index):
        self.calls.append(index)
        if index in self.unreadable:
            raise ValueError('cut off')
        return np.full((4, 4, 3), index, np.uint8)


def images(reader, size=5, limit=10**6, faults=None, **options):
    keys = [f'image {index}' for index in range(size)]
    return Images(keys, reader, faults or Faults(), MemoryBudget(limit), **options)


def test_access_by_index():
    made = images(Reader())
    assert len(made) == 5
    assert made[3].key == 'image 3'
    assert made[3].image[0, 0, 0] == 3
    assert made[-1].key == 'image 4'
    for index in (5, -6):
        with pytest.raises(IndexError, match=f'{index} of 5'):
            made[index]
    assert [example.key for example in made] == list(made.keys)


def test_every_image_is_decoded_once():
    reader = Reader()
    made = images(reader)
    for _ in range(3):
        for index in range(5):
            assert made[index].image[0, 0, 0] == index
    assert sorted(reader.calls) == list(range(5))


def test_no_more_is_kept_than_the_budget_allows():
    reader = Reader()
    made = images(reader, limit=2 * PIXEL_BYTES + 1)
    for _ in range(3):
        for index in range(5):
            assert made[index].image[0, 0, 0] == index
    assert len(reader.calls) == 2 + 3 * 3


def test_unreadable_is_replaced_by_the_next_readable_and_named_once(monkeypatch):
    logged = []
    monkeypatch.setattr(logging, 'warning', lambda text, *args: logged.append(text % args))
    faults, reader = Faults(), Reader(unreadable={1, 2, 4})
    made = images(reader, faults=faults)
    for _ in range(3):
        assert [made[index].key for index in range(5)] == [
            'image 0',
            'image 3',
            'image 3',
            'image 3',
            'image 0',
        ]
    assert faults.names == ('image 1', 'image 2', 'image 4')
    assert faults.count == 3
    assert len(logged) == 3
    assert 'image 1 (cut off)' in logged[0]
    assert len(reader.calls) == 5  # what could not be read once is not tried again


def test_known_faults_are_not_tried():
    reader, faults = Reader(), Faults()
    made = images(reader, faults=faults)
    made.set_unreadable({'image 0': 'known', 'of another domain': 'known'})
    assert faults.names == ('image 0',)
    assert made[0].key == 'image 1'
    assert reader.calls == [1]


def test_nothing_readable_is_an_error():
    with pytest.raises(ValueError, match='none of the 5 images can be read, the first is image 0'):
        images(Reader(unreadable=range(5)))[2]


def test_threads_share_images():
    made = images(Reader(unreadable={7}), size=50, limit=20 * PIXEL_BYTES)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: int(made[index % 50].image[0, 0, 0]), range(2000)))
    assert found == [8 if index % 50 == 7 else index % 50 for index in range(2000)]


def test_select_domains():
    assert select_domains((), ('a', 'b'), 'x') == ('a', 'b')
    assert select_domains(('b', 'a'), ('a', 'b'), 'x') == ('b', 'a')
    with pytest.raises(ValueError, match="x has no domain 'c'; it has: a, b"):
        select_domains(('c',), ('a', 'b'), 'x')


def test_a_drive_that_comes_back_is_read_again():
    away = {2}

    def read(index):
        if index in away:
            raise OSError('the drive is away')
        return np.full((4, 4, 3), index, np.uint8)

    faults = Faults()
    made = images(read, faults=faults)
    assert made[2].key == 'image 3'
    assert faults.names == ('image 2',)
    away.clear()
    assert made[2].key == 'image 2'
