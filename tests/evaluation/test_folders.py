"""Other people's outputs: two folders of images through the command line."""

import dataclasses
import json

import numpy as np
import pytest

from gan_transfer.evaluation import folders as folders_module
from gan_transfer.evaluation.features import SetFeatures
from gan_transfer.evaluation.protocols import PROTOCOLS
from tests import command
from tests.evaluation.made_data import draw, make_config


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
    assert found['egsde']['size']['generated'] == (24, 24)


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
        ('real', 'same', ('--config.evaluation.protocols=paired_test',), 'for folders; choose from default'),
    ],
)
def test_mistakes(folders, tmp_path, real, generated, more, message):
    named = {'real': real, 'generated': generated, 'source': '' if real else 'real'}
    arguments = [f'--{flag}={folders / name}' for flag, name in named.items() if name]
    config = ('--config=configs/cyclegan.py:size=32', *more) if more else ()
    assert message in command.error_line(*config, '--mode=evaluate', f'--workdir={tmp_path}', *arguments)
