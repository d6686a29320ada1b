import errno
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from absl import logging

from gan_transfer import storage
from gan_transfer.data.dataset import Faults, Images, MemoryBudget, select_domains
from gan_transfer.errors import RunStopped

PIXEL_BYTES = 4 * 4 * 3


class Reader:
    def __init__(self):
        self.calls = []

    def __call__(self, index):
        self.calls.append(index)
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
    faults, reader = Faults(), Reader()
    made = images(reader, faults=faults)
    for _ in range(2):
        made.set_unreadable({**{f'image {i}': 'cut off' for i in (1, 2, 4)}, 'of another domain': 'known'})
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
    assert reader.calls == [0, 3]


def test_nothing_readable_is_an_error():
    made = images(Reader())
    made.set_unreadable({f'image {i}': 'cut off' for i in range(5)})
    with pytest.raises(ValueError, match='none of the 5 images can be read, the first is image 0'):
        made[2]


LOOKS = (
    '; it could be at the start: the same command looks at it again; what still cannot be read is replaced in training '
    'and left out of tests'
)


@pytest.mark.parametrize(
    ('error', 'checked', 'unchecked'),
    [
        (OSError('the drive is away'), f': the drive is away{LOOKS}', ': the drive is away'),
        (ValueError('cut off\nhere'), f': cut off{LOOKS}', ': cut off'),
        (
            PermissionError(errno.EACCES, 'no rights'),
            f': [Errno 13] no rights{LOOKS}',
            ': [Errno 13] no rights',
        ),
        *(
            (
                error,
                f' now: {reason}; the same command tries again',
                f' now: {reason}; the same command tries again',
            )
            for error, reason in (
                (OSError(errno.EMFILE, 'EMFILE', 'a.png'), 'Too many open files'),
                (MemoryError(), 'out of memory: MemoryError'),
                (storage.Unreachable('gs://bucket: 503'), 'gs://bucket: 503'),
            )
        ),
    ],
)
def test_an_image_that_cannot_be_read_any_more_has_no_stand_in(error, checked, unchecked):
    for expected, looked_at in ((checked, True), (unchecked, False)):
        away, forgotten = {2}, []

        def read(index, away=away):
            if index in away:
                raise error
            return np.full((4, 4, 3), index, np.uint8)

        made = images(read, forget=forgotten.append if looked_at else None)
        assert made[1].key == 'image 1'
        with pytest.raises(RunStopped) as info:
            made[2]
        assert str(info.value) == f'image 2 cannot be read{expected}'
        assert forgotten == ['image 2'] * (LOOKS in expected)
        away.clear()
        assert made[2].key == 'image 2'


def test_threads_share_images():
    made = images(Reader(), size=50, limit=20 * PIXEL_BYTES)
    made.set_unreadable({'image 7': 'cut off'})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: int(made[index % 50].image[0, 0, 0]), range(2000)))
    assert found == [8 if index % 50 == 7 else index % 50 for index in range(2000)]


def test_select_domains():
    assert select_domains((), ('a', 'b'), 'x') == ('a', 'b')
    assert select_domains(('b', 'a'), ('a', 'b'), 'x') == ('b', 'a')
    with pytest.raises(ValueError, match="x has no domain 'c'; it has: a, b"):
        select_domains(('c',), ('a', 'b'), 'x')
