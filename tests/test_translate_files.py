"""Which files are translated to which, and together with which; what is refused before any run is opened."""

import types

import numpy as np
import pytest

from configs import common
from gan_transfer import inference
from gan_transfer import translate as translation
from gan_transfer.errors import UserError
from tests import command

CONVOLUTIONAL = types.SimpleNamespace(
    experiment=types.SimpleNamespace(method=types.SimpleNamespace(fully_convolutional=True, size_multiple=4)),
    image_size=64,
)


def test_images_of_many_sizes_do_not_all_wait(monkeypatch, tmp_path):
    sizes = [(40, 40), (44, 40), (40, 40), (48, 40), (40, 44), (52, 40)]
    jobs = []
    for i, (height, width) in enumerate(sizes):
        path = command.write(tmp_path / f'{i}.png', command.picture(i, 64, 64)[:height, :width])
        jobs.append(translation.Job(path, (tmp_path / 'out' / path.name,)))
    monkeypatch.setattr(translation, 'WAITING_PIXELS', 6000)
    groups = translation._groups(common.get_config(), CONVOLUTIONAL, jobs, limit=10**6, unread=[])
    assert [[row.output.stem for row in group] for group in groups] == [
        ['0', '2'],
        ['5'],
        ['1'],
        ['3'],
        ['4'],
    ]


def test_a_batch_is_as_large_as_the_limit(tmp_path):
    paths = [command.write(tmp_path / f'{i}.png', command.picture(i)) for i in range(4)]
    jobs = [translation.Job(path, (tmp_path / 'out' / path.name,)) for path in paths]
    groups = translation._groups(common.get_config(), CONVOLUTIONAL, jobs, limit=3 * 40 * 40, unread=[])
    assert [len(group) for group in groups] == [3, 1]


@pytest.mark.parametrize('size', [(37, 51), (3, 5), (1, 40)])
def test_an_image_comes_back_from_the_networks_size_at_its_own_place(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    there = inference.from_size(image, CONVOLUTIONAL)
    np.testing.assert_array_equal(inference.to_size(there, size, CONVOLUTIONAL), image)


def test_a_domain_s_name_comes_before_its_index():
    run = types.SimpleNamespace(domains=('1', '2', '3'), directions=((0, 1), (0, 2), (1, 0)))
    assert [inference.find_domain(run, chosen) for chosen in ('1', '2', '0', 2)] == [0, 1, 0, 2]


@pytest.mark.parametrize('output', ['file/new.png', 'folder.png'])
@pytest.mark.parametrize('overwrite', [True, False])
def test_an_output_that_cannot_be_written_is_refused_first(output, overwrite, tmp_path):
    source = command.write(tmp_path / 'in' / 'a.png', command.picture(0))
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder.png' / 'a.png').mkdir(parents=True)
    with pytest.raises(UserError, match=r'file is a file|is a folder'):
        translation._plan(source, str(tmp_path / output), [''], [], overwrite=overwrite)


@pytest.mark.parametrize('overwrite', [True, False])
def test_no_image_that_is_read_is_written_over(overwrite, tmp_path):
    for name in ('a.png', 'a_0.png'):
        command.write(tmp_path / 'in' / name, command.picture(0))
    target = command.write(tmp_path / 'targets' / 'a.png', command.picture(1))
    for output, styles in (('in', ['']), ('in', ['0', '1']), ('targets', [''])):
        with pytest.raises(UserError, match='is an image that is read'):
            translation._plan(tmp_path / 'in', str(tmp_path / output), styles, [target], overwrite=overwrite)


def test_no_image_that_is_read_is_written_over_through_a_link(tmp_path):
    command.write(tmp_path / 'in' / 'a.png', command.picture(0))
    (tmp_path / 'linked').symlink_to(tmp_path / 'in')
    with pytest.raises(UserError, match='is an image that is read'):
        translation._plan(tmp_path / 'in', str(tmp_path / 'linked'), [''], [], overwrite=True)


def test_files_of_one_name_are_refused(tmp_path):
    for name in ('a.png', 'a.bmp'):
        command.write(tmp_path / 'in' / name, command.picture(0))
    with pytest.raises(UserError, match=r'a\.bmp and .*a\.png would both be written to .*a\.png'):
        translation._plan(tmp_path / 'in', str(tmp_path / 'out'), [''], [], overwrite=False)
    with pytest.raises(UserError, match=r'a\.(bmp|png) and a\.(bmp|png) of --target have one name'):
        translation._list_styles(str(tmp_path / 'in'), None)


@pytest.mark.parametrize('text', ['x', '3-1', '-1', '4294967296', '0-99999', ''])
def test_what_are_no_seeds_is_refused(text):
    with pytest.raises(UserError, match=f'--seed={text}: (a number below|at most 10000 seeds)'):
        translation._list_styles(None, text)
