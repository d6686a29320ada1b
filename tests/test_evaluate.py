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


@pytest.mark.slow
def test_a_folder_of_pairs_is_trained_on_and_evaluated_one_way(tmp_path):
    """pix2pix learns the second half of each picture from the first; the truth of the test pictures is known."""
    pairs, workdir = command.side_by_side_data(tmp_path / 'pairs', train=8, test=3), tmp_path / 'run'
    command.launch(
        '--config=configs/pix2pix.py:size=32,tiny',
        '--config.data.source=folder',
        f'--config.data.path={pairs}',
        '--config.train_images=8',
        '--config.optimizer.schedule=constant',
        f'--workdir={workdir}',
    )
    command.launch('--mode=evaluate', f'--workdir={workdir}')
    protocol = json.loads((workdir / 'evaluation.json').read_text())['protocols']['paired_test']
    (row,) = protocol['directions']
    assert (row['source'], row['target'], row['truth'], row['count']) == ('A', 'B', 'aligned', 3)
    assert row['untouched_source']['absolute_error'] > 0.5, 'negatives are far apart'


def test_data_without_pairs_is_refused_by_a_method_that_learns_from_them(tmp_path):
    data = command.folder_data(tmp_path / 'data')
    line = command.error_line(
        '--config=configs/pix2pix.py:size=32,tiny',
        '--config.data.source=folder',
        f'--config.data.path={data}',
        f'--workdir={tmp_path / "run"}',
    )
    assert 'are not pairs: data.share_keys=True makes pairs of emoji' in line
