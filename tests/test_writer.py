"""The writer: one line a step, also after a restart."""

import json
import resource
import time

import numpy as np
import PIL.Image
import pytest

from gan_transfer.errors import RunStopped
from gan_transfer.writer import Writer, evaluated, last_images, last_picture
from tests import events


def write(workdir, first, steps):
    writer = Writer(workdir, first)
    for step in steps:
        writer.scalars(step, {'images': 4 * step, 'generator/adversarial': np.float32(0.1) * step})
    writer.close()


def lines(workdir):
    return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def test_steps_behind_the_restored_one_are_dropped(tmp_path):
    write(tmp_path, 0, range(1, 6))
    write(tmp_path, 3, range(4, 6))
    assert [line['step'] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_line_cut_short_is_dropped(tmp_path):
    write(tmp_path, 0, [1, 2])
    path = tmp_path / 'metrics.jsonl'
    path.write_text(path.read_text()[:-10])
    write(tmp_path, 1, [2])
    assert [line['step'] for line in lines(tmp_path)] == [1, 2]


@pytest.mark.parametrize('line', [b'{"images": 4}', b'[3]', b'7', b'null', b'{"step": "2"}', b'\0\xff'])
def test_a_line_that_is_none_of_ours_is_dropped(line, tmp_path):
    (tmp_path / 'metrics.jsonl').write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    Writer(tmp_path, 2).close()
    assert [line['step'] for line in lines(tmp_path)] == [1, 2]


def test_float32_survives_and_what_is_not_finite_is_null(tmp_path):
    writer = Writer(tmp_path, 0)
    writer.scalars(1, {'a': np.float32(0.1), 'b': np.float32('nan'), 'c': np.inf})
    writer.close()
    (line,) = lines(tmp_path)
    assert np.float32(line['a']) == np.float32(0.1)
    assert line['b'] is None
    assert line['c'] is None


def test_an_evaluation_is_that_of_its_step(tmp_path):
    writer = Writer(tmp_path, 0)
    writer.scalars(1, {'evaluation/default/ssim': 1.0})
    writer.scalars(2, {'generator/l1': 1.0})
    writer.close()
    assert [evaluated(str(tmp_path), step) for step in (0, 1, 2)] == [False, True, False]


def test_pictures_are_named_by_images_seen(tmp_path):
    writer = Writer(tmp_path, 0)
    assert last_picture(tmp_path) is None
    picture = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    path = writer.picture(2, 16, picture)
    writer.picture(1, 8, picture)
    writer.close()
    assert path.endswith('samples/00000016.png')
    assert last_picture(tmp_path) == path
    with PIL.Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_tensorboard_shows_every_step_once_after_a_kill(tmp_path):
    """Nothing closes the first writer, and all that it wrote before `flush` is there."""
    first = Writer(tmp_path, 0)
    for step in (1, 2, 3):
        first.scalars(step, {'a': step / 4, 'b': np.nan})
    first.flush()
    assert events.shown(tmp_path) == {step: {'a': step / 4} for step in (1, 2, 3)}
    second = Writer(tmp_path, 2)
    second.scalars(3, {'a': 5.0})
    second.close()
    first.close()
    assert events.shown(tmp_path) == {1: {'a': 0.25}, 2: {'a': 0.5}, 3: {'a': 5.0}}


@pytest.mark.parametrize('call', ['scalars', 'picture'])
def test_a_disk_that_takes_no_more_stops_the_run(call, tmp_path):
    """Files that cannot grow stand for a full disk: the system refuses the write."""
    writer = Writer(tmp_path, 0)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    calls = {
        'scalars': (lambda: writer.scalars(1, {'a': 1.0}), r'metrics\.jsonl'),
        'picture': (lambda: writer.picture(1, 4, picture), r'00000004\.png'),
    }
    write, name = calls[call]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        with pytest.raises(RunStopped, match=f'{name} cannot be written: File too large'):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert last_picture(tmp_path) is None
    writer.close()


def test_a_clock_that_was_set_back_changes_nothing_of_what_tensorboard_shows(tmp_path, monkeypatch):
    for now, first in ((2_000_000_000, 0), (1_999_999_000, 3), (1_999_999_000, 4)):
        monkeypatch.setattr(time, 'time', lambda now=now: now)
        writer = Writer(tmp_path, first)
        for step in range(first + 1, 6):
            writer.scalars(step, {'a': float(first + 1)})
        writer.close()
    assert events.shown(tmp_path) == {step: {'a': value} for step, value in enumerate((1, 1, 1, 4, 5), 1)}
    assert len(list((tmp_path / 'tensorboard').iterdir())) == 3


@pytest.mark.parametrize('last', ['{"step": 2, "images": null}', '{"step": 2, "images": "8"}', '{"step": 2}'])
def test_a_line_that_tells_no_number_of_images_is_passed_over(last, tmp_path):
    (tmp_path / 'metrics.jsonl').write_text(f'{{"step": 1, "images": 4}}\n{last}\n')
    assert last_images(tmp_path) == 4
