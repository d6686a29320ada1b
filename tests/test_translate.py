"""Translating files through the command line: sizes, folders, styles, and options that do not fit."""

import dataclasses
import shutil

import jax
import numpy as np
import PIL.Image
import pytest

from configs import _run
from gan_transfer import inference
from gan_transfer.data.transforms import resize
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

    more = f'--source={tmp_path / "in"}', f'--output={tmp_path / "out"}', '--target_domain=night'
    done = command.launch('--mode=translate', f'--workdir={cyclegan}', *more)
    out, told = done.stdout, done.stderr

    assert sorted(out.split()) == sorted(str(tmp_path / 'out' / f'{name}.png') for name in sizes)
    assert f'warning: {tmp_path / "in"}: not read: notes.txt (' in told
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
    assert 'no latent code (no seed)' in refuse(cyclegan, source, output, '--target_domain=day', '--seed=1')
    assert 'choose one of day, night, by name or index' in refuse(
        cyclegan, source, output, '--target_domain=2'
    )
    assert 'no/such' in refuse(cyclegan, '--source=no/such.png', output)
    assert 'o.gif must end in one of .' in refuse(cyclegan, source, f'--output={tmp_path}/o.gif')
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


@pytest.mark.xdist_group('stargan_v2_run')
def test_folders_of_targets_and_several_seeds(stargan_v2, data, tmp_path):
    """Every source by every style; one of them is what it is by itself."""
    for i in (3, 4):
        command.write(tmp_path / 'in' / f's{i}.png', command.picture(i, 37, 51))
    sources, targets = f'--source={tmp_path / "in"}', f'--target={data}/test/night'

    out = translate(
        stargan_v2, sources, targets, f'--output={tmp_path / "out"}'
    )  # the folder tells the domain

    names = {f's{i}_{style}.png' for i in (3, 4) for style in (0, 1, 2)}
    assert {path.name for path in (tmp_path / 'out').iterdir()} == names
    assert len(out.split('\n', 1)[1].split()) == 6
    alone = tmp_path / 'alone.png'
    translate(
        stargan_v2,
        f'--source={tmp_path / "in" / "s4.png"}',
        f'--target={data}/test/night/2.png',
        f'--output={alone}',
    )
    np.testing.assert_array_equal(read(tmp_path / 'out' / 's4_2.png'), read(alone))
    assert (read(alone) != read(tmp_path / 'out' / 's4_1.png')).any()

    one = f'--source={tmp_path / "in" / "s3.png"}'
    translate(stargan_v2, one, '--target_domain=day', '--seed=4,6-7,6', f'--output={tmp_path / "codes"}')
    translate(stargan_v2, one, '--target_domain=day', f'--output={tmp_path}/new/')
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['s3.png']
    assert {path.name for path in (tmp_path / 'codes').iterdir()} == {f's3_{seed}.png' for seed in (4, 6, 7)}
    assert 'there are several styles, so --output must be a folder' in refuse(
        stargan_v2, one, '--target_domain=day', '--seed=0-1', f'--output={tmp_path}/o.png'
    )


@pytest.mark.xdist_group('stargan_v2_run')
def test_translating_arrays(stargan_v2, data, tmp_path):
    """As from a notebook: the same as by files."""
    source = command.write(tmp_path / 'source.png', command.picture(3, 37, 51))
    target = data / 'test' / 'night' / '0.png'
    translate(stargan_v2, f'--source={source}', f'--target={target}', f'--output={tmp_path}/by_target.png')
    domain = '--target_domain=night'
    translate(stargan_v2, f'--source={source}', domain, '--seed=5', f'--output={tmp_path}/by_seed.png')

    run = inference.open_run(_run.get_config(str(stargan_v2)), str(stargan_v2))
    sources, targets = read(source)[None], read(target)[None]
    found = inference.translate_images(run, sources, targets=targets, target_domain='night')
    np.testing.assert_array_equal(found[0], read(tmp_path / 'by_target.png'))
    latents = np.random.default_rng(5).normal(size=(1, run.experiment.method.latent_size))
    both = np.concatenate([sources, sources[:, ::-1]])
    found = inference.translate_images(run, both, latents=latents, target_domain='night')
    assert found.shape == both.shape
    np.testing.assert_array_equal(found[0], read(tmp_path / 'by_seed.png'))

    # Trained on images that were resized by linear interpolation, it is shown such.
    shown = inference.from_size(sources[0], run)
    np.testing.assert_array_equal(shown, resize(sources[0], (16, 16), 'linear'))
    assert (shown != resize(sources[0], (16, 16))).any()

    for message, arguments in {
        'a target domain is needed: one of': {'targets': targets},
        'by a target image or by a latent code': {'target_domain': 'day'},
        'give one of them': {'target_domain': 'day', 'targets': targets, 'latents': latents},
        'wanted is uint8': {'target_domain': 'day', 'targets': targets / 255},
        r'wanted is \[n, ': {'target_domain': 'day', 'latents': latents[:, 1:]},
        'there are 2 of source, and 3 images to make': {
            'target_domain': 'day',
            'targets': np.repeat(targets, 3, 0),
        },
    }.items():
        with pytest.raises(ValueError, match=message):
            inference.translate_images(run, both, **arguments)
    three = inference.translate_images(
        run, sources, latents=inference.latent_codes(run, [4, 5, 6]), target_domain='night', batch_size=2
    )
    np.testing.assert_array_equal(three[1], found[0])
    assert len({image.tobytes() for image in three}) == 3
    method = dataclasses.replace(run.experiment.method, passes=('reference',), reference_trains='all')
    without = run._replace(experiment=dataclasses.replace(run.experiment, method=method))
    with pytest.raises(UserError, match='trained without latent codes'):
        inference.latent_codes(without, [0])
    broken = run._replace(params=jax.tree.map(lambda x: x * np.nan, run.params))
    with pytest.raises(UserError, match='does not give finite numbers'):
        inference.translate_images(broken, both, targets=targets, target_domain='day')
