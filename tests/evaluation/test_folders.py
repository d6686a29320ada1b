"""Other people's outputs: two folders of images through the command line."""

import dataclasses
import hashlib
import json

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from gan_transfer import data, feature_networks
from gan_transfer.evaluation import folders as folders_module
from gan_transfer.evaluation.features import SetFeatures
from gan_transfer.evaluation.protocols import PROTOCOLS
from gan_transfer.metrics import paired
from tests import command
from tests.evaluation.made_data import SIZE, draw, make_config

pytestmark = pytest.mark.xdist_group('folders')


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp('images')
    for i in range(14):
        command.write(root / 'real' / f'{i}.png', draw(str(i), True))
    for i in range(12):
        command.write(root / 'same' / 'inner' / f'{i}.png', draw(str(50 + i), True))
        command.write(root / 'plain' / f'{i}.png', draw(str(50 + i), False))
    (root / 'plain' / '._0.png').write_bytes(b'what macOS leaves beside a file')
    command.write(root / 'plain' / '.ipynb_checkpoints' / '0.png', draw('0', True))
    for i in range(6):
        command.write(root / 'large' / f'{i}.png', draw(str(i), True).repeat(2, 0).repeat(2, 1))
    command.write(root / 'mixed' / 'a.png', draw('0', True))
    command.write(root / 'mixed' / 'b.png', draw('0', True)[:20])
    return root


@pytest.mark.slow
def test_images_of_the_right_style_are_nearer(folders, tmp_path):
    found = {}
    for name in ('same', 'plain'):
        out = command.launch(
            '--mode=evaluate',
            f'--workdir={tmp_path / name}',
            f'--real={folders / "real"}',
            f'--generated={folders / name}',
            f'--source={folders / "plain"}',
        ).stdout
        assert out.splitlines()[-1] == str(tmp_path / name / 'evaluation.json')
        assert 'KID, vgg16' in out
        result = json.loads((tmp_path / name / 'evaluation.json').read_text())['protocols']['default']
        assert result['images'] == {'generated': 12, 'real': 14, 'source': 12}
        found[name] = result['translated']['kid_vgg16']
        ceiling = result['untouched_source']['kid_vgg16']
        assert 'the untouched source; the floor' in out
        assert '* better than the untouched source' in out
    assert found['same'] < found['plain'] == ceiling
    line = command.error_line(
        '--mode=evaluate',
        f'--workdir={tmp_path / "same"}',
        f'--real={folders / "real"}',
        f'--generated={folders / "same"}',
    )
    assert 'evaluation.json exists' in line


def test_a_key_of_the_evaluation_changes_no_size(folders, tmp_path):
    found = {}
    for more in ('evaluation.resamples=5', 'image_size=24'):
        out = command.launch(
            f'--config.{more}',
            '--mode=evaluate',
            f'--workdir={tmp_path / more}',
            f'--real={folders / "plain"}',
            f'--generated={folders / "same"}',
        ).stdout
        result = json.loads((tmp_path / more / 'evaluation.json').read_text())['protocols']['default']
        found[more] = result['size']['real'], result['resized'], 'resized to 24 px' in out
    assert found == {
        'evaluation.resamples=5': ([32, 32], False, False),
        'image_size=24': ([24, 24], True, True),
    }


def test_real_images_keep_their_sizes_where_the_protocol_says_so(folders, tmp_path, monkeypatch):
    seen = []

    def make_features(*_):
        def function(images):
            seen.extend(image.shape[0] for image in images)
            return images.reshape(len(images), -1)[:, :48].astype(np.float32)

        return SetFeatures(function, {})

    monkeypatch.setattr(folders_module, 'make_features', make_features)
    protocol = dataclasses.replace(PROTOCOLS['egsde'], counts=None)
    monkeypatch.setitem(PROTOCOLS, 'egsde', protocol)
    for i in range(7):
        command.write(tmp_path / 'real' / f'{i}.png', draw(str(i), True)[: 32 - i, : 32 - i])
    config = make_config(protocols=('egsde',))
    config.image_size = 24
    folder = str(folders / 'same')
    found = folders_module.compare_folders(config, str(tmp_path / 'real'), folder, folder, resize=True)
    assert sorted(set(seen)) == [24, *range(26, 33)]
    assert found['egsde']['size'] == {'generated': (24, 24), 'real': None, 'source': (24, 24)}


def test_folders_are_resized_as_the_protocol_says(folders, monkeypatch):
    seen = []

    def make_features(*_):
        def function(images):
            seen.append(images)
            return images.reshape(len(images), -1)[:, :48].astype(np.float32)

        return SetFeatures(function, {})

    monkeypatch.setattr(folders_module, 'make_features', make_features)
    protocol = dataclasses.replace(PROTOCOLS['egsde_celeba_hq'], counts=None)
    monkeypatch.setitem(PROTOCOLS, 'egsde_celeba_hq', protocol)
    config = make_config(protocols=('egsde_celeba_hq',))
    config.image_size = 24
    folders_module.compare_folders(config, str(folders / 'real'), str(folders / 'same'), resize=True)
    first = sorted((folders / 'same' / 'inner').iterdir())[0]
    np.testing.assert_array_equal(seen[0][0], data.resize(data.read_image(first), (24, 24), 'linear'))


def test_pairs_are_matched_by_name_and_measured_as_a_run_s_are(tmp_path):
    """Values against the metrics called here, with a last batch that is not full."""
    rng = np.random.default_rng(0)
    images = {
        side: rng.integers(0, 256, (6, SIZE, SIZE, 3), np.uint8) for side in ('real', 'generated', 'source')
    }
    for side, ending in (('real', 'png'), ('generated', 'webp'), ('source', 'bmp')):
        for i, image in enumerate(images[side]):
            path = tmp_path / side / str(i % 2) / f'{i if i < 5 else "3.m"}.{ending}'
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(image).save(path, **({'lossless': True} if ending == 'webp' else {}))
    order = [0, 2, 4, 1, 3, 5]  # of the paths
    out = command.launch(
        '--config.evaluate_batch_size=4',
        '--config.evaluation.protocols=paired_test',
        '--mode=evaluate',
        f'--workdir={tmp_path / "results"}',
        *(f'--{side}={tmp_path / side}' for side in images),
    ).stdout
    assert 'LPIPS, alex' in out
    assert '* better than the untouched source' in out
    found = json.loads((tmp_path / 'results' / 'evaluation.json').read_text())['protocols']['paired_test']
    assert found['images'] == dict.fromkeys(images, 6)
    lpips = feature_networks.lpips_distance('alexnet')
    for side, row in (('generated', 'translated'), ('source', 'untouched_source')):
        a, b = (jnp.asarray(images[name], jnp.float32) / 255 for name in (side, 'real'))
        assert found[row]['absolute_error'] == pytest.approx(float(jnp.abs(a - b).mean()), rel=1e-5)
        assert found[row]['ssim'] == pytest.approx(float(paired.ssim(a, b).mean()), rel=1e-4)
        assert found[row]['lpips_alexnet'] == pytest.approx(
            float(lpips(images[side], images['real']).mean()), rel=1e-4
        )
        assert found['intervals'][row]['ssim'][0] < found[row]['ssim'] < found['intervals'][row]['ssim'][1]
        digest = hashlib.sha256(images[side][order].tobytes()).hexdigest()
        assert found['sha256'][side] == digest


def test_pairs_need_the_same_names(folders, tmp_path):
    arguments = (
        '--config.evaluation.protocols=paired_test',
        '--mode=evaluate',
        f'--workdir={tmp_path / "results"}',
        f'--real={folders / "real"}',
    )
    line = command.error_line(*arguments, f'--generated={folders / "plain"}')
    assert "has no '12', which is in --real (2 such)" in line
    for i in range(14):
        command.write(tmp_path / 'small' / f'{i}.png', draw(str(i), True)[:8, :8])
    line = command.error_line(*arguments, f'--generated={tmp_path / "small"}')
    assert 'real images have 32x32 px' in line
    arguments = (*arguments[:-1], f'--real={tmp_path / "small"}', f'--generated={tmp_path / "small"}')
    assert 'images have 8 px; paired_test measures SSIM' in command.error_line(*arguments)
    command.write(tmp_path / 'small' / '1.bmp', draw('0', True)[:8, :8])
    assert 'differ in their ending alone' in command.error_line(*arguments)


def test_no_floor_is_said_where_halves_are_too_small(folders, tmp_path):
    out = command.launch(
        '--mode=evaluate',
        f'--workdir={tmp_path / "results"}',
        f'--real={folders / "large"}',
        f'--generated={folders / "large"}',
    ).stdout
    assert 'no floor: of 6 real images halves would have fewer than 6' in out
    found = json.loads((tmp_path / 'results' / 'evaluation.json').read_text())['protocols']['default']
    assert 'coverage' in found['translated']
    assert 'coverage' not in found['intervals']['translated'], 'halves of a few images say nothing'
    assert 'kid_vgg16' in found['intervals']['translated']


def test_folders_that_would_count_images_twice_or_not_at_all_are_refused(folders, tmp_path):
    for side, name in (('real', 'a'), ('generated', 'a/inner')):
        for i in range(6):
            command.write(tmp_path / name / f'{side}_{i}.png', draw(str(i), True))
    config = make_config()
    with pytest.raises(ValueError, match=r'--generated=.*inner is inside of --real='):
        folders_module.compare_folders(
            config, str(tmp_path / 'a'), str(tmp_path / 'a' / '..' / 'a' / 'inner'), resize=False
        )
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / 'linked').symlink_to(tmp_path / 'a')
    with pytest.raises(ValueError, match='linked is a link to a folder, which is not followed'):
        folders_module.compare_folders(config, str(tmp_path / 'b'), str(folders / 'same'), resize=False)
    # A folder that is itself a link is read.
    (tmp_path / 'c').symlink_to(folders / 'same')
    assert len(folders_module._files(str(tmp_path / 'c'))) == 12


@pytest.mark.parametrize(
    ('real', 'generated', 'more', 'message'),
    [
        ('real', 'none', (), 'no such folder'),
        (
            'real',
            'large',
            (),
            'generated images have 64x64 px, real images have 32x32 px; --config.image_size',
        ),
        ('real', 'mixed', (), '32x20 px, the images before it 32x32'),
        ('real', '', (), '--real and --generated go together'),
        ('', '', (), '--source with --real and --generated only'),
        (
            'real',
            'same',
            ('--config.evaluation.counts=(12,13)',),
            'evaluation.counts asks for (12, 13) generated and real images',
        ),
        (
            'real',
            'same',
            ('--config.evaluation.counts=12,13',),
            'evaluation.counts asks for (12, 13) generated and real images',
        ),
        ('real', 'same', ('--config.evaluation.counts=few',), "'few'"),
        (
            'real',
            'same',
            ('--config.evaluation.protocols=reference_truth',),
            'for folders; choose from default',
        ),
    ],
)
def test_mistakes(folders, tmp_path, real, generated, more, message):
    named = {'real': real, 'generated': generated, 'source': '' if real else 'real'}
    arguments = [f'--{flag}={folders / name}' for flag, name in named.items() if name]
    config = ('--config=configs/cyclegan.py:size=32', *more) if more else ()
    assert message in command.error_line(*config, '--mode=evaluate', f'--workdir={tmp_path}', *arguments)
