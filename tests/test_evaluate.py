"""Evaluation through the command line on the real emoji."""

import json
import shutil

import pytest

from configs import _run
from gan_transfer import compare, evaluate
from gan_transfer.evaluation.protocols import PROTOCOLS
from tests import command, run_folder

MORE = ('--config.data.domains=openmoji,openmoji_line', '--config.train_images=16')
pytestmark = pytest.mark.xdist_group('cyclegan_run')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A CycleGAN of a few steps between line art and colour."""
    workdir = tmp_path_factory.mktemp('run')
    command.launch(*command.TINY_CYCLEGAN, *MORE, f'--workdir={workdir}')
    return workdir


def test_writes_and_prints_every_direction(run):
    protocols = ('--config.evaluation.protocols=paired_test', '--config.evaluation.resamples=5')
    config = (*command.TINY_CYCLEGAN, *MORE, *protocols)
    out = command.launch(*config, '--mode=evaluate', f'--workdir={run}').stdout
    results = json.loads((run / 'evaluation.json').read_text())
    checkpoint = results['checkpoint']
    assert (checkpoint['step'], checkpoint['images'], len(checkpoint['weights'])) == (4, 16, 64)
    assert list(results['protocols']) == ['paired_test']
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
    assert out.splitlines()[-2:] == [str(run / 'gallery.html'), str(run / 'evaluation.json')]
    page = (run / 'gallery.html').read_text()
    assert page.count('data:image/png') == 2 * 40 * 3, 'source, output and truth of 40 images each way'

    command.launch(*config, '--mode=evaluate', f'--workdir={run}')
    assert json.loads((run / 'evaluation.json').read_text()) == results

    (row,) = compare.compare(str(run), _run.get_defaults)
    found = [direction['measures']['ssim']['values'] for direction in row['protocols']['paired_test']]
    assert found == [[there['translated']['ssim']], [back['translated']['ssim']]]


def test_another_protocol_of_one_checkpoint_adds_to_the_results(tmp_path):
    def result(name, digest=None, about=None):
        row = {'source': 'a', 'target': 'b', 'count': 9} | (
            {'images': {'source_sha256': digest}} if digest else {}
        )
        return {'about': about or PROTOCOLS[name].about, 'directions': [row]}

    about = {'method': 'cut', 'data': {'domains': ['a', 'b']}}
    checkpoint = {'step': 4, 'images': 8, 'weights': 'w'}
    kept = {'default': result('default', 'x'), 'paired_test': result('paired_test')}
    before = {**about, 'checkpoint': checkpoint, 'protocols': kept}
    (tmp_path / 'evaluation.json').write_text(json.dumps(before))
    earlier = evaluate._earlier(about, str(tmp_path))
    assert earlier == before
    assert evaluate._earlier({**about, 'method': 'cyclegan'}, str(tmp_path)) == {}

    def merged(found, earlier=earlier, checkpoint=checkpoint):
        return set(evaluate._with_earlier(found, earlier, checkpoint)) - set(found)

    found = {'cut_test_test': result('cut_test_test', 'x')}
    assert evaluate._with_earlier(found, earlier, checkpoint) == kept | found
    assert merged(found, checkpoint={**checkpoint, 'step': 5}) == set()
    assert merged(found, checkpoint={**checkpoint, 'weights': 'v'}) == set(), 'a run that was started anew'
    assert merged({'default': result('default', 'x')}) == {'paired_test'}
    assert merged({'cut_test_test': result('cut_test_test', 'y')}) == {'paired_test'}, 'other pixels'
    # Loaded by another interpolation, the same images have another digest.
    assert merged({'stargan_v2_latent': result('stargan_v2_latent', 'y')}) == set(kept)
    older = {**before, 'protocols': {'default': result('default', 'x', 'what it once was'), 'gone': {}}}
    assert merged(found, older) == set(), 'protocols of another version'
    (tmp_path / 'evaluation.json').write_text('{')
    assert evaluate._earlier(about, str(tmp_path)) == {}


@pytest.mark.slow
def test_training_evaluates_on_the_way_and_keeps_the_best(tmp_path):
    """Interrupted and resumed or not, the same numbers; final and best are told apart."""
    data = command.side_by_side_data(tmp_path.parent / f'{tmp_path.name}_pairs', test=12)
    config = (
        *command.TINY_CYCLEGAN,
        *('--config.data.source=folder', f'--config.data.path={data}'),
        '--config.evaluation.protocols=paired_test',
        '--config.evaluation.resamples=5',
        '--config.evaluate_every_images=8',
        '--config.train_images=32',
        f'--workdir={tmp_path}',
    )
    out = command.launch(*config).stdout
    lines = evaluations(tmp_path)
    assert [line['images'] for line in lines] == [8, 16, 24, 32]
    values = [line['evaluation/paired_test/lpips_alexnet'] for line in lines]
    best = lines[values.index(min(values))]['images']
    assert f'final {values[-1]:.4g}; best {min(values):.4g}, after {best} images' in out

    results = json.loads(evaluated(tmp_path, config))
    assert results['checkpoint']['images'] == 32
    assert results['best']['checkpoint']['images'] == best
    found = results['best']['protocols']['paired_test']['mean']['lpips_alexnet']
    assert found == pytest.approx(min(values), rel=1e-5)

    source = command.write(tmp_path / 'source.png', command.picture(0, 32, 32))
    for name, more in (('newest', ()), ('best', ('--best',))):
        output = ('--target_domain=1', f'--output={tmp_path / name}.png', *more)
        command.launch('--mode=translate', f'--workdir={tmp_path}', f'--source={source}', *output)
    same = (tmp_path / 'newest.png').read_bytes() == (tmp_path / 'best.png').read_bytes()
    assert same == (best == 32)

    # A damaged best checkpoint costs nothing of the final one's numbers.
    shutil.copytree(tmp_path, tmp_path / 'damaged')
    (tmp_path / 'damaged' / 'evaluation.json').unlink()
    run_folder.flip_a_bit(tmp_path / 'damaged' / 'best')
    evaluate = ('--mode=evaluate', f'--workdir={tmp_path / "damaged"}')
    line = command.error_line(*evaluate)
    assert 'on_damage=fallback' in line
    left = json.loads((tmp_path / 'damaged' / 'evaluation.json').read_text())
    assert left == {key: value for key, value in results.items() if key != 'best'}
    out = command.launch(*evaluate, '--config.checkpoint.on_damage=fallback')
    assert 'warning: the best checkpoint is left out' in out.stderr
    assert 'best checkpoint by' not in out.stdout

    # The newest checkpoint is lost: the run goes on from the one before, and comes to the same numbers.
    shutil.rmtree(tmp_path / 'checkpoints' / '8')
    command.launch(*config)
    assert evaluations(tmp_path) == lines


def evaluations(workdir):
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key != 'seconds'}
        for line in lines
        if any(key.startswith('evaluation/') for key in line)
    ]


def evaluated(workdir, config):
    out = command.launch(*config, '--mode=evaluate').stdout
    assert 'final checkpoint' in out
    assert 'best checkpoint by these test images' in out
    return (workdir / 'evaluation.json').read_text()


def test_another_config_than_the_runs_is_refused(run):
    line = command.error_line(*command.TINY_CYCLEGAN, '--mode=evaluate', f'--workdir={run}')
    assert 'train_images: 16 -> 200000' in line


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
    assert not (tmp_path / 'run' / 'config.json').exists(), 'the corrected command would be another config'
