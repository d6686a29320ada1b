"""Comparing evaluated runs: what is a seed of what, and which numbers do not compare."""

import json

import pytest

from configs import _run, cyclegan
from gan_transfer import compare, run_config
from gan_transfer.errors import UserError
from gan_transfer.evaluation import tables
from tests import command

ERROR, IMAGES = 0.25, 16
DOMAINS = ('openmoji', 'openmoji_line')


def make_config():
    config = cyclegan.get_config('size=32,tiny')
    config.train_images = IMAGES
    return json.loads(config.to_json())


def make_results(more=0.0):
    """As an evaluation writes them; the first direction's error is larger by `more`."""
    directions = [
        {
            'source': source,
            'target': target,
            'count': 9,
            'translated': {'absolute_error': error},
            'untouched_source': {'absolute_error': 0.5},
        }
        for (source, target), error in ((DOMAINS, ERROR + more), (DOMAINS[::-1], ERROR))
    ]
    return {
        'checkpoint': {'step': 4, 'images': IMAGES, 'weights': 'checksum'},
        'data': {'test_images': {name: f'9 of {name}' for name in DOMAINS}},
        'protocols': {'paired_test': {'directions': directions}},
    }


def write(folder, results, config):
    folder.mkdir(exist_ok=True)
    (folder / compare.EVALUATED).write_text(json.dumps(results))
    (folder / run_config.NAME).write_text(json.dumps(config))


def test_runs_are_compared_over_seeds(tmp_path):
    """Three seeds, and runs that are no seeds of theirs, with numbers that differ by known amounts."""
    config = make_config()
    for seed in range(3):
        results = make_results(0.01 * seed)
        own = {**config, 'seed': seed, 'evaluate_batch_size': seed + 1, 'log_every_images': seed + 8}
        if seed == 2:  # of an older version
            results['data'].pop('test_images')
            own['method'] = {key: value for key, value in config['method'].items() if key != 'skips'}
            assert own['method'] != config['method']
        write(tmp_path / f'seed_{seed}', results, own)
    write(tmp_path / 'switched', make_results(), {**config, 'seed': 5})
    changes = ['batch_size: 4 -> 2', 'log_every_images: 8 -> 4', 'data.threads: 4 -> 8']
    line = json.dumps({'images': 8, 'changes': changes})
    (tmp_path / 'switched' / run_config.CHANGES).write_text(f'{line}\n')
    write(tmp_path / 'longer', make_results(-0.02), {**config, 'train_images': 99})
    left = make_results()
    left['checkpoint']['images'] = 8
    write(tmp_path / 'left', left, {**config, 'seed': 3})
    for name in ('waiting', 'waiting/divergence/3'):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / run_config.NAME).write_text(json.dumps(config))

    out = command.launch('--mode=compare', f'--workdir={tmp_path}').stdout
    assert out.splitlines()[-3:] == [
        'not evaluated: waiting',
        'evaluated before their end: left, longer',
        str(tmp_path / 'comparison.json'),
    ]
    assert '0.26 ±0.01 (0.5)' in out
    left, longer, seeds, switched = json.loads((tmp_path / 'comparison.json').read_text())
    assert left['config'] == {'images_seen': 8, 'train_images': IMAGES}, 'no seed like the others'
    assert switched['config']['config_changes'] == 'batch_size: 4 -> 2 at 8', 'no seed like the others either'
    assert longer['config'] == {'images_seen': IMAGES, 'train_images': 99}
    assert seeds['config'] == {'train_images': IMAGES}
    assert [row['seed'] for row in seeds['runs']] == [0, 1, 2]
    there, back = (row['measures'] for row in seeds['protocols']['paired_test'])
    assert there['absolute_error']['mean'] == pytest.approx(ERROR + 0.01)
    assert there['absolute_error']['deviation'] == pytest.approx(0.01)
    assert back['absolute_error']['deviation'] == 0
    assert longer['protocols']['paired_test'][0]['measures']['absolute_error']['deviation'] is None


def test_runs_of_other_test_images_are_refused_as_seeds_and_told_as_configs(tmp_path, capsys):
    config = make_config()
    write(tmp_path / 'seed_0', make_results(), {**config, 'seed': 0})
    more, others = make_results(), make_results()
    more['protocols']['paired_test']['directions'][1]['count'] += 1
    others['data']['test_images']['openmoji'] += ' of another split'
    for results, direction in ((more, 'openmoji_line -> openmoji'), (others, 'openmoji -> openmoji_line')):
        write(tmp_path / 'elsewhere', results, {**config, 'seed': 4})
        message = rf'elsewhere and seed_0 were evaluated on different .* \(paired_test, {direction}\)'
        with pytest.raises(UserError, match=message):
            compare.compare(str(tmp_path), _run.get_defaults)

    another = {**config, 'seed': 4, 'data': {**config['data'], 'count': config['data']['count'] + 1}}
    write(tmp_path / 'elsewhere', others, another)
    capsys.readouterr()
    compare.compare(str(tmp_path), _run.get_defaults)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if 'not evaluated on the same test images' in line] == [
        f'paired_test, {direction}: elsewhere and seed_0 were not evaluated on the same test images, or at another '
        'size; their numbers do not compare'
        for direction in ('openmoji -> openmoji_line', 'openmoji_line -> openmoji')
    ]


@pytest.mark.parametrize('key', ['real', 'real_sha256', 'source_sha256'])
def test_seeds_that_were_measured_on_other_images_are_refused(key):
    def run(seed, value):
        row = {'source': 'a', 'target': 'b', 'count': 9, 'images': {key: value}, 'translated': {}}
        results = {'default': {'directions': [row]}}
        return compare.Run(f'run_{seed}', seed, {'method.name': 'cut'}, 8, results, {})

    compare.summarize([run(0, 1), run(1, 1)])
    with pytest.raises(UserError, match='run_0 and run_1 were evaluated on different test images'):
        compare.summarize([run(0, 1), run(1, 2)])


def test_a_longer_training_is_no_other_config(tmp_path):
    changes = ['train_images: 8 -> 16', 'batch_size: 4 -> 2']
    (tmp_path / run_config.CHANGES).write_text(json.dumps({'images': 8, 'changes': changes}) + '\n')
    assert compare._changes(tmp_path) == {'config_changes': 'batch_size: 4 -> 2 at 8'}


def test_several_outputs_stand_beside_one_of_each_source():
    def run(seed, value):
        row = {'source': 'a', 'target': 'b', 'count': 9}
        row |= {'translated': {'fid_torchvision': value}, 'one_output': {'fid_torchvision': 10 * value}}
        row |= {'untouched_source': {'fid_torchvision': 50.0}}
        config = {'method.name': 'stargan_v2'}
        return compare.Run(f'run_{seed}', seed, config, 8, {'of_tomorrow': {'directions': [row]}}, {})

    (row,) = compare.summarize([run(0, 1.0), run(1, 2.0)])
    (found,) = row['protocols']['of_tomorrow']
    assert found['measures']['fid_torchvision'] == {
        'values': [1.0, 2.0],
        'mean': 1.5,
        'deviation': pytest.approx(0.5**0.5),
        'untouched_source': 50.0,
        'one_output': 15.0,
    }
    assert tables._cell_over_seeds(found['measures']['fid_torchvision']) == '1.5 ±0.71 (15; 50)'


def test_nothing_to_compare_is_one_line(tmp_path):
    assert 'no evaluated run in' in command.error_line('--mode=compare', f'--workdir={tmp_path}')


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('{"protocols": 1}', "'checkpoint'"),
        ('{', 'Expecting'),
        (json.dumps(make_results()).replace('"count"', '"number"'), "'count'"),
    ],
)
def test_damaged_results_are_one_line(text, reason, tmp_path):
    write(tmp_path, make_results(), make_config())
    (tmp_path / compare.EVALUATED).write_text(text)
    with pytest.raises(UserError, match=rf'evaluation\.json is damaged \({reason}'):
        compare.compare(str(tmp_path), _run.get_defaults)
