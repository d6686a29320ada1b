"""Evaluation through the command line on the real emoji, and what it compares."""

import json
import types

import numpy as np
import pytest

from gan_transfer import evaluate
from tests import command

pytestmark = pytest.mark.xdist_group('cyclegan_run')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A CycleGAN of a few steps between line art and colour."""
    workdir = tmp_path_factory.mktemp('run')
    more = (
        '--config.data.domains=openmoji,openmoji_line',
        '--config.train_images=16',
        f'--workdir={workdir}',
    )
    command.launch(*command.TINY_CYCLEGAN, *more)
    return workdir


def test_writes_and_prints_every_direction(run):
    out = command.launch('--mode=evaluate', f'--workdir={run}').stdout
    results = json.loads((run / 'evaluation.json').read_text())
    assert results['checkpoint'] == {'step': 4, 'images': 16}
    protocol = results['protocols']['paired_test']
    there, back = protocol['directions']
    assert (there['source'], there['target']) == ('openmoji', 'openmoji_line')
    assert (back['source'], back['target']) == ('openmoji_line', 'openmoji')
    assert there['truth'] == 'aligned'
    assert there['count'] == back['count'] > 100
    assert there['untouched_source'] == pytest.approx(back['untouched_source'], rel=1e-5)
    assert there['translated'] != back['translated']
    assert 0.5 < there['untouched_source']['ssim'] < 1
    assert protocol['target_images'] is None
    assert protocol['directions_closer_than_the_source']['of'] == 2
    assert 'openmoji -> openmoji_line' in out
    assert out.splitlines()[-1] == str(run / 'evaluation.json')

    command.launch('--mode=evaluate', f'--workdir={run}')
    assert json.loads((run / 'evaluation.json').read_text()) == results


def test_another_config_than_the_runs_is_refused(run):
    line = command.error_line(*command.TINY_CYCLEGAN, '--mode=evaluate', f'--workdir={run}')
    assert 'train_images: 16 -> 200000' in line


class Images:
    def __init__(self, first, length):
        self.first, self.length = first, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return types.SimpleNamespace(image=np.full((16, 16, 3), self.first + index, np.uint8))


def test_a_target_image_is_a_training_image_and_never_the_truth():
    dataset = types.SimpleNamespace(
        train={'a': Images(0, 30), 'b': Images(50, 30)}, test={'a': Images(100, 5), 'b': Images(150, 5)}
    )
    method = types.SimpleNamespace(translate_fields=('source', 'target', 'target_domain'))
    run = types.SimpleNamespace(domains=('a', 'b'), experiment=types.SimpleNamespace(method=method))
    config = types.SimpleNamespace(image_size=16, evaluate_batch_size=3)
    first, again = (list(evaluate._pairs(config, dataset, run, 0, 1)) for _ in range(2))

    assert [pairs.count for pairs in first] == [3, 2]
    for pairs, same in zip(first, again, strict=True):
        assert set(pairs.batch) == {'source', 'target', 'target_domain'}
        np.testing.assert_array_equal(pairs.truth, pairs.batch['source'] + 50)
        targets = pairs.batch['target']
        assert ((targets >= 50) & (targets < 80)).all()
        np.testing.assert_array_equal(targets, same.batch['target'])
        np.testing.assert_array_equal(pairs.batch['target_domain'], [1, 1, 1])
