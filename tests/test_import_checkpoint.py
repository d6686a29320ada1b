"""From a published checkpoint to a run: translations are the original's, and every mode takes the run."""

import importlib
import json
import shutil

import jax
import numpy as np
import PIL.Image
import pytest

from configs import _run, quickstart
from gan_transfer import run_config
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.errors import UserError
from gan_transfer.import_checkpoint import import_checkpoint, import_run
from gan_transfer.inference import check_style, open_run
from tests import command
from tests.importers import torch_files
from tests.reference import cases
from tests.run_folder import flip_a_bit

# StarGAN v2's imports take 7 GB each: never two at once.
pytestmark = pytest.mark.xdist_group('import')
WRITERS = {'zip': torch_files.write_zip, 'legacy': torch_files.write_legacy}


def imported(family, path, workdir, **options):
    config = importlib.import_module(f'configs.{family}').get_config('size=64')
    config.method.update(options)
    import_checkpoint(config, str(workdir), family, str(path))
    return open_run(config, str(workdir))


RESNETS = {
    'cyclegan': ('cyclegan', 'cyclegan_generator_resnet6'),
    'cut': ('cut', 'cut_generator_resnet9'),
    "cyclegan by CUT's code": ('cyclegan', 'cut_generator_resnet9'),
}
# What published generators have not, and the shapes of most arrays do not tell.
OURS = {'residual': True, 'clip': True, 'skips': True}


@pytest.mark.parametrize(
    ('layout', 'options'), [('zip', {}), ('legacy', {}), ('zip', OURS)], ids=['zip', 'legacy', 'our options']
)
@pytest.mark.parametrize(('family', 'name'), RESNETS.values(), ids=RESNETS)
def test_an_imported_generator_translates_as_the_original(family, name, layout, options, tmp_path, capsys):
    case = cases.load(name)
    path = WRITERS[layout](tmp_path / 'latest_net_G.pth', case.weights())
    if options:
        options = {**options, 'antialias': family == 'cyclegan', 'feature_network': 'alexnet'}
    run = imported(family, path, tmp_path / 'run', **options)
    out = ' '.join(capsys.readouterr().out.split())
    assert ('residual True -> False' in out) == bool(options)
    assert 'features' not in out, 'they have weights of their own'
    assert run.directions == ((0, 1),)
    batch = {'source': case.image('x'), 'target_domain': np.ones(len(case.image('x')), np.int32)}
    batch = {field: batch[field] for field in run.experiment.method.translate_fields}
    translated = run.experiment.translate(run.params, batch, jax.random.key(0))
    np.testing.assert_allclose(translated, case.image('y'), atol=1e-4)


def test_an_imported_stargan_v2_translates_as_the_original(tmp_path):
    case = cases.load('stargan_v2_networks')
    names = ('generator', 'mapping_network', 'style_encoder')
    path = torch_files.write_zip(
        tmp_path / '100000_nets_ema.ckpt', {name: case.weights(name) for name in names}
    )
    run = imported('stargan_v2', path, tmp_path / 'run')
    domains = np.asarray(case.arrays['domain'], np.int32)
    batch = {'source': case.image('x'), 'target': case.image('reference'), 'target_domain': domains}
    translated = run.experiment.translate(run.params, batch, jax.random.key(0))
    np.testing.assert_allclose(translated, np.moveaxis(case.arrays['translated'], 1, -1), atol=2e-4)
    assert len(run.directions) == len(run.domains) * (len(run.domains) - 1)


def test_a_file_s_network_that_the_config_has_not_is_ignored_and_said(tmp_path, capsys):
    case = cases.load('stargan_v2_training')
    names = ('generator', 'mapping_network', 'style_encoder')
    weights = {name: case.weights(prefix=f'{name}.') for name in names}
    torch_files.write_zip(tmp_path / '100000_nets_ema.ckpt', weights)
    plain = imported('stargan_v2', tmp_path, tmp_path / 'plain')  # a folder of a single file
    config = quickstart.get_config()
    config.method.update(OURS, pixel_norm=True)
    import_checkpoint(config, str(tmp_path / 'run'), 'stargan_v2', str(tmp_path))
    out = ' '.join(capsys.readouterr().out.split())
    assert 'ignored, as the config has no such network: mapping_network' in out
    run = open_run(config, str(tmp_path / 'run'))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 1, *[run.image_size] * 2, 3)).astype(np.float32)
    batch = {'source': images[0], 'target': images[1], 'target_domain': np.ones(1, np.int32)}
    ours, theirs = (r.experiment.translate(r.params, batch, jax.random.key(0)) for r in (run, plain))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    del weights['style_encoder']
    path = torch_files.write_zip(tmp_path / 'no_style.ckpt', weights)
    with pytest.raises(UserError, match='generator, mapping_network, style_encoder are needed'):
        imported('stargan_v2', path, tmp_path / 'other')
    with pytest.raises(UserError, match=r'name one of its files: 100000_nets_ema\.ckpt, no_style\.ckpt'):
        imported('stargan_v2', tmp_path, tmp_path / 'other')


NETWORKS_OF_PIX2PIX = {'generator_unet128': 'G', 'discriminator_patchgan': 'D'}


def test_an_imported_unet_is_a_run_of_its_size(tmp_path):
    weights = {name: cases.load(f'pix2pix_{name}').weights() for name in NETWORKS_OF_PIX2PIX}
    for name, saved in NETWORKS_OF_PIX2PIX.items():
        torch_files.write_zip(tmp_path / f'latest_net_{saved}.pth', weights[name])
    run = imported('pix2pix', tmp_path, tmp_path / 'run')
    image = np.random.default_rng(0).uniform(-1, 1, (2, 128, 128, 3)).astype(np.float32)
    both, one = (
        run.experiment.translate(run.params, {'source': image[i:]}, jax.random.key(0)) for i in (0, 1)
    )
    np.testing.assert_allclose(both[1:], one, atol=1e-4, err_msg='no image depends on its neighbours')
    np.testing.assert_array_equal(
        run.params['generator']['up_0']['convolution']['bias'],
        weights['generator_unet128']['model.model.3.bias'],
    )


def tiny_cyclegan(folder):
    """Writes the generator from a to b, alone, of 8 channels."""
    folder.mkdir()
    weights = cases.load('cyclegan_training').weights(prefix='G_A.')
    return torch_files.write_zip(folder / 'latest_net_G.pth', weights)


@pytest.fixture
def data(tmp_path):
    return command.folder_data(tmp_path / 'data')


def test_a_run_is_imported_translates_and_goes_on_training(data, tmp_path):
    checkpoint, run = tiny_cyclegan(tmp_path / 'files'), tmp_path / 'run'
    out = command.launch(
        '--mode=import',
        '--from=cyclegan',
        f'--checkpoint={checkpoint}',
        f'--workdir={run}',
        *command.TINY_CYCLEGAN,
        '--config.data.source=folder',
        f'--config.data.path={data}',
        '--config.train_images=8',
    ).stdout
    assert 'first weights: generator_b_to_a, discriminator_b, discriminator_a' in out.replace(
        'discriminator_a, discriminator_b', 'discriminator_b, discriminator_a'
    )
    saved = json.loads((run / 'config.json').read_text())['method']
    assert (saved['generator_width'], saved['generator_blocks']) == (8, 6)
    (changes,) = map(json.loads, (run / run_config.CHANGES).read_text().splitlines())
    assert changes['changes'] == [f'weights: first ones -> cyclegan in {checkpoint}'], (
        'no seed of other weights'
    )

    source = data / 'test' / 'day' / '0.png'
    translate = ('--mode=translate', f'--workdir={run}', f'--source={source}')
    first = tmp_path / 'first.png'
    command.launch(*translate, f'--output={first}')
    line = command.error_line(*translate, '--target_domain=day', f'--output={tmp_path / "no.png"}')
    assert "unknown target domain 'day'; choose one of night" in line
    line = command.error_line(
        '--mode=import', '--from=cyclegan', f'--checkpoint={checkpoint}', f'--workdir={run}'
    )
    assert 'holds a run already' in line

    out = command.launch(f'--workdir={run}').stdout
    assert '2 steps of 4 images' in out
    command.launch(*translate, '--target_domain=day', f'--output={tmp_path / "back.png"}')
    second = tmp_path / 'second.png'
    command.launch(*translate, '--target_domain=night', f'--output={second}')
    pictures = [np.asarray(PIL.Image.open(path)).astype(int) for path in (first, second)]
    change = np.abs(pictures[0] - pictures[1]).mean()
    assert 0 < change < 8, 'two steps from the imported weights, and not from fresh ones'


@pytest.mark.slow
def test_a_run_of_ours_is_gone_on_with_on_other_data(data, tmp_path):
    """Its weights and averages, and nothing else: another count of images, other domains, another data set."""
    first, second = tmp_path / 'first', tmp_path / 'second'
    more = ('--config.data.source=folder', f'--config.data.path={data}', '--config.average_decay=0.5')
    command.launch(*command.TINY_CYCLEGAN, *more, '--config.train_images=8', f'--workdir={first}')
    other = tmp_path / 'other'
    shutil.copytree(data, other)
    for split in ('train', 'test'):
        for old, new in zip(sorted((other / split).iterdir()), ('dawn', 'dusk'), strict=True):
            old.rename(other / split / new)
    out = command.launch(
        *('--mode=import', '--from=run', f'--checkpoint={first}', f'--workdir={second}'),
        *(f'--config.data.path={other}', '--config.optimizer.learning_rate=1e-5'),
        *('--config.method.residual=true', '--config.compute_dtype=bfloat16'),
    ).stdout
    assert f'{first} after 8 images' in out
    told = [f'generator_{way}, with the weights that it had: residual' for way in ('a_to_b', 'b_to_a')]
    assert all(f'{line} False -> True' in ' '.join(out.split()) for line in told)
    assert out.count('with the weights') == 2, 'not that the arithmetic is another'
    config = _run.get_config(str(second))
    assert config.optimizer.learning_rate == 1e-5
    states = {}
    for workdir in (first, second):
        run = open_run(_run.get_config(str(workdir)), str(workdir))
        states[workdir] = run.params
        assert run.domains == (('dawn', 'dusk') if workdir == second else ('day', 'night'))
    assert run.step == 0
    jax.tree.map(np.testing.assert_array_equal, states[first], states[second])
    changes = [json.loads(line) for line in (second / run_config.CHANGES).read_text().splitlines()]
    assert changes == [{'images': 0, 'changes': [f'weights: first ones -> {first} after 8 images']}]
    command.launch(f'--workdir={second}', '--mode=train')
    assert 'holds a run already' in command.error_line(
        *('--mode=import', '--from=run', f'--checkpoint={first}', f'--workdir={second}')
    )
    flip_a_bit(first / 'checkpoints')
    third = ('--mode=import', '--from=run', f'--checkpoint={first}', f'--workdir={tmp_path / "third"}')
    assert 'on_damage=fallback takes the newest good one' in command.error_line(*third)
    line = command.error_line(
        *('--mode=import', '--from=run', f'--checkpoint={second}', f'--workdir={tmp_path / "third"}'),
        '--config.method.generator_width=5',
        '--config.method.discriminator_width=5',
    )
    assert 'no network of the run in' in line


def test_stargan_v2_from_one_file_with_a_target_image(data, tmp_path):
    case = cases.load('stargan_v2_training')
    names = ('generator', 'mapping_network', 'style_encoder')
    path = torch_files.write_legacy(
        tmp_path / '100000_nets_ema.ckpt',
        {name: case.weights(prefix=f'{name}.') for name in names},
    )
    run = tmp_path / 'run'
    out = command.launch(
        '--mode=import', '--from=stargan_v2', f'--checkpoint={path}', f'--workdir={run}'
    ).stdout
    assert 'not there, so with first weights: discriminator' in out
    assert 'domains: 0 A, 1 B; the original numbers its folders in alphabetical order\n' in out
    output = tmp_path / 'out.png'
    command.launch(
        '--mode=translate',
        f'--workdir={run}',
        f'--source={data / "test" / "day" / "0.png"}',
        f'--target={data / "test" / "night" / "0.png"}',
        '--target_domain=1',
        f'--output={output}',
    )
    assert output.exists()

    # What reads a style has first weights where another width is asked for.
    for key, untrained in (('mapping_width', 'latent'), ('style_encoder_width', 'target')):
        config = _run.get_config(str(run))
        config.method[key] = 24
        import_run(config, str(tmp_path / key), str(run), _run.get_config(str(run)))
        opened = open_run(config, str(tmp_path / key))
        for style in ('latent', 'target'):
            asked = {name: name == style for name in ('latent', 'target')}
            if style == untrained:
                with pytest.raises(UserError, match='which this run has imported without'):
                    check_style(opened, **asked)
            else:
                check_style(opened, **asked)


def test_domains_are_those_of_the_data_that_the_config_names(data, tmp_path, capsys):
    case = cases.load('stargan_v2_training')
    names = ('generator', 'mapping_network', 'style_encoder')
    weights = {name: case.weights(prefix=f'{name}.') for name in names}
    path = torch_files.write_zip(tmp_path / 'nets_ema.ckpt', weights)
    config = importlib.import_module('configs.stargan_v2').get_config('size=64')
    config.data.update(source='folder', path=str(data))
    import_checkpoint(config, str(tmp_path / 'run'), 'stargan_v2', str(path))
    assert 'domains: 0 day, 1 night; the original numbers' in capsys.readouterr().out
    assert open_run(config, str(tmp_path / 'run')).domains == ('day', 'night')
    config.data.domains = ('night', 'day')
    import_checkpoint(config, str(tmp_path / 'other'), 'stargan_v2', str(path))
    assert 'domains: 0 night, 1 day; the original' in (out := capsys.readouterr().out)
    assert 'which these are not' in out
    (data / 'train' / 'noon').mkdir()
    shutil.copy(data / 'train' / 'day' / '0.png', data / 'train' / 'noon')
    config.data.domains = ()
    with pytest.raises(UserError, match='the domains are day, night, noon; the weights are of 2'):
        import_checkpoint(config, str(tmp_path / 'third'), 'stargan_v2', str(path))


@pytest.mark.parametrize(
    ('arguments', 'parts'),
    [
        (('--from=cyclegan', '--checkpoint=no/such.pth'), ('no such file or folder: no/such.pth',)),
        (('--from=munit', '--checkpoint=a.pth'), ('munit', 'cyclegan', 'stargan_v2')),
        (('--from=cut',), ('--mode=import needs --checkpoint',)),
        (
            ('--from=cut', '--checkpoint=a', '--source=b'),
            ('--source is for --mode=evaluate or --mode=translate',),
        ),
    ],
)
def test_mistakes_are_one_line(arguments, parts, tmp_path):
    line = command.error_line('--mode=import', f'--workdir={tmp_path / "run"}', *arguments)
    for part in parts:
        assert part in line


def test_what_has_no_generator_translates_nothing(tmp_path):
    weights = cases.load('cut_discriminator_patchgan').weights()
    path = torch_files.write_zip(tmp_path / 'latest_net_D.pth', weights)
    with pytest.raises(
        UserError, match='translates nothing: what it was imported from has no generator for it'
    ):
        imported('cut', path, tmp_path / 'run')


def test_an_import_that_was_interrupted_is_no_run(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    checkpoint, run = tiny_cyclegan(tmp_path / 'files'), tmp_path / 'run'
    weights = cases.load('cyclegan_training').weights(prefix='G_A.')
    other = torch_files.write_zip(
        tmp_path / 'files' / 'other_net_G.pth', {k: 2 * v for k, v in weights.items()}
    )
    for owner, name in ((Checkpoints, 'save'), (run_config, 'save')):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                imported('cyclegan', checkpoint, run)
        assert not (run / 'config.json').exists()
    found = imported('cyclegan', other, run).params['generator_a_to_b']['input']['bias']
    np.testing.assert_array_equal(found, 2 * weights['model.1.bias'])


def test_weights_and_config_must_fit(tmp_path):
    checkpoint = tiny_cyclegan(tmp_path / 'files')
    config = importlib.import_module('configs.cyclegan').get_config()
    with pytest.raises(UserError, match='--from=cut is not the method of --config, cyclegan'):
        import_checkpoint(config, str(tmp_path / 'run'), 'cut', str(checkpoint))
    config.data.domains = ('a', 'b', 'c')
    with pytest.raises(UserError, match='the domains are a, b, c; the weights are of 2: see data'):
        import_checkpoint(config, str(tmp_path / 'run'), 'cyclegan', str(checkpoint))
    assert not (tmp_path / 'run').exists()
