"""Translating files through the command line: sizes, folders, styles, and options that do not fit."""

import shutil
import types

import numpy as np
import PIL.Image
import pytest

from configs import common
from gan_transfer import translate as translation
from gan_transfer.errors import UserError
from tests import command


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return command.folder_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def cyclegan(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('cyclegan')
    more = ('--config.data.source=folder', f'--config.data.path={data}', '--config.train_images=8')
    command.launch(*command.TINY_CYCLEGAN, *more, f'--workdir={workdir}')
    return workdir


@pytest.fixture(scope='module')
def stargan_v2(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('stargan_v2')
    command.launch(
        '--config=configs/stargan_v2.py:size=16,tiny',
        '--config.method.bottleneck_blocks=1',
        '--config.batch_size=2',
        '--config.train_images=4',
        '--config.average_decay=0.5',
        '--config.data.source=folder',
        f'--config.data.path={data}',
        f'--workdir={workdir}',
    )
    return workdir


def translate(workdir, *arguments):
    return command.launch('--mode=translate', f'--workdir={workdir}', *arguments).stdout


def refuse(workdir, *arguments):
    return command.error_line('--mode=translate', f'--workdir={workdir}', *arguments)


def read(path):
    with PIL.Image.open(path) as image:
        assert image.mode == 'RGB'
        return np.asarray(image)


@pytest.mark.xdist_group('cyclegan_run')
def test_a_convolutional_method_keeps_any_size(cyclegan, tmp_path):
    sizes = {'odd': (37, 51), 'small': (3, 5), 'same': (37, 51), 'square': (32, 32)}
    for i, (name, size) in enumerate(sizes.items()):
        command.write(tmp_path / 'in' / f'{name}.png', command.picture(i, 64, 64)[: size[0], : size[1]])
    shutil.copy(tmp_path / 'in' / 'odd.png', tmp_path / 'in' / 'same.png')
    (tmp_path / 'in' / 'notes.txt').write_text('no image')

    out = translate(
        cyclegan, f'--source={tmp_path / "in"}', f'--output={tmp_path / "out"}', '--target_domain=night'
    )

    assert sorted(out.split()) == sorted(str(tmp_path / 'out' / f'{name}.png') for name in sizes)
    images = {name: read(tmp_path / 'out' / f'{name}.png') for name in sizes}
    assert {name: image.shape[:2] for name, image in images.items()} == sizes
    np.testing.assert_array_equal(images['odd'], images['same'])

    one = tmp_path / 'one.webp'
    translate(cyclegan, f'--source={tmp_path / "in" / "odd.png"}', f'--output={one}', '--target_domain=1')
    assert read(one).shape == (37, 51, 3)


@pytest.mark.xdist_group('cyclegan_run')
def test_options_that_do_not_fit_cyclegan(cyclegan, data, tmp_path):
    source, output = f'--source={data}/test/day/0.png', f'--output={tmp_path}/o.png'
    assert 'day, night' in refuse(cyclegan, source, output)
    assert 'takes no target image' in refuse(cyclegan, source, output, f'--target={data}/test/night/0.png')
    assert '--seed' in refuse(cyclegan, source, output, '--target_domain=day', '--seed=1')
    assert 'choose one of day, night, by name or index' in refuse(
        cyclegan, source, output, '--target_domain=2'
    )
    assert 'no/such' in refuse(cyclegan, '--source=no/such.png', output)
    assert '.png' in refuse(cyclegan, source, f'--output={tmp_path}/o.gif')
    assert not list(tmp_path.iterdir())


@pytest.mark.xdist_group('cyclegan_run')
def test_files_that_exist_or_cannot_be_read(cyclegan, data, tmp_path):
    source = f'--source={data}/test/day/0.png'
    output = command.write(tmp_path / 'o.png', command.picture(0))
    before = output.read_bytes()
    assert f'{output} exists; --overwrite' in refuse(
        cyclegan, source, f'--output={output}', '--target_domain=night'
    )
    assert output.read_bytes() == before
    translate(cyclegan, source, f'--output={output}', '--target_domain=night', '--overwrite')
    assert output.read_bytes() != before

    shutil.copytree(data / 'test' / 'day', tmp_path / 'in')
    (tmp_path / 'in' / 'broken.png').write_bytes(b'no image')
    arguments = (f'--source={tmp_path / "in"}', f'--output={tmp_path / "out"}', '--target_domain=night')
    line = refuse(cyclegan, *arguments)
    assert '3 of 4 images were translated' in line
    assert 'broken.png' in line
    assert len(list((tmp_path / 'out').iterdir())) == 3


@pytest.mark.xdist_group('stargan_v2_run')
def test_a_target_image_or_a_seed_gives_the_style(stargan_v2, data, tmp_path):
    source = command.write(tmp_path / 'source.png', command.picture(3, 37, 51))

    def result(name, *arguments):
        out = translate(stargan_v2, f'--source={source}', f'--output={tmp_path / name}.png', *arguments)
        assert '16x16' in out
        return read(tmp_path / f'{name}.png')

    night = f'--target={data}/test/night/0.png'
    images = {
        'reference': result('reference', night),  # the folder tells the domain
        'same': result('same', night, '--target_domain=night'),
        'latent': result('latent', '--target_domain=night', '--seed=1'),
        'other': result('other', '--target_domain=night', '--seed=2'),
        'again': result('again', '--target_domain=1', '--seed=1'),
    }
    assert {image.shape for image in images.values()} == {(37, 51, 3)}
    np.testing.assert_array_equal(images['reference'], images['same'])
    np.testing.assert_array_equal(images['latent'], images['again'])
    assert (images['latent'] != images['reference']).any()
    assert (images['latent'] != images['other']).any()


@pytest.mark.xdist_group('stargan_v2_run')
def test_options_that_do_not_fit_stargan_v2(stargan_v2, data, tmp_path):
    source, output = f'--source={data}/test/day/0.png', f'--output={tmp_path}/o.png'
    target = command.write(tmp_path / 'target.png', command.picture(0))
    assert 'does not tell' in refuse(stargan_v2, source, output, f'--target={target}')
    assert 'latent' in refuse(
        stargan_v2, source, output, f'--target={target}', '--target_domain=day', '--seed=1'
    )
    assert 'no/such' in refuse(stargan_v2, source, output, '--target=no/such.png', '--target_domain=day')
    assert 'has no best checkpoint: evaluate_every_images' in refuse(stargan_v2, source, output, '--best')


@pytest.mark.xdist_group('stargan_v2_run')
def test_evaluate_says_what_it_needs(stargan_v2):
    line = command.error_line('--mode=evaluate', f'--workdir={stargan_v2}')
    assert 'each domain needs 6 test images or more to be compared as sets, and no truth is known' in line


def test_images_of_many_sizes_do_not_all_wait(monkeypatch, tmp_path):
    sizes = [(40, 40), (44, 40), (40, 40), (48, 40), (40, 44), (52, 40)]
    files = []
    for i, (height, width) in enumerate(sizes):
        path = command.write(tmp_path / f'{i}.png', command.picture(i, 64, 64)[:height, :width])
        files.append((path, tmp_path / 'out' / path.name))
    config = common.get_config()
    method = types.SimpleNamespace(fully_convolutional=True, size_multiple=4)
    monkeypatch.setattr(translation, 'WAITING_PIXELS', 6000)
    groups = list(translation._groups(config, method, files, limit=10**6, unread=[]))
    assert [[path.stem for path, _, _ in group] for group in groups] == [
        ['0', '2'],
        ['5'],
        ['1'],
        ['3'],
        ['4'],
    ]


@pytest.mark.xdist_group('cyclegan_run')
def test_a_run_translates_on_devices_that_do_not_divide_its_batch(cyclegan, tmp_path):
    """Its image pool, which goes with the batch, is then whole on every device."""
    source = command.write(tmp_path / 'source.png', command.picture(3, 32, 32))
    arguments = ('--mode=translate', f'--workdir={cyclegan}', f'--source={source}', '--target_domain=night')
    found = []
    for devices in (2, 3):
        flags = f'--xla_backend_optimization_level=1 --xla_force_host_platform_device_count={devices}'
        output = tmp_path / f'{devices}.png'
        command.launch(*arguments, f'--output={output}', environment={'XLA_FLAGS': flags})
        found.append(read(output).astype(int))
    assert np.abs(found[0] - found[1]).max() <= 1


def test_a_domain_s_name_comes_before_its_index():
    run = types.SimpleNamespace(domains=('1', '2', '3'), directions=((0, 1), (0, 2), (1, 0)))
    assert [translation._domain(run, None, chosen) for chosen in ('1', '2', '0')] == [0, 1, 0]


@pytest.mark.parametrize('output', ['file/new.png', 'folder.png'])
@pytest.mark.parametrize('overwrite', [True, False])
def test_an_output_that_cannot_be_written_is_refused_first(output, overwrite, tmp_path):
    source = command.write(tmp_path / 'in' / 'a.png', command.picture(0))
    (tmp_path / 'file').write_text('')
    (tmp_path / 'folder.png' / 'a.png').mkdir(parents=True)
    with pytest.raises(UserError, match=r'file is a file|is a folder'):
        translation._plan(source, tmp_path / output, overwrite=overwrite)
