"""The saved config: damaged, older than some keys, in a place that cannot be written."""

import errno
import json
import os

import pytest

from configs import common
from gan_transfer import run_config
from gan_transfer.errors import RunStopped, UserError, check_folder, from_user


@pytest.mark.parametrize('text', ['', '{"method": ', '[]', '{}', '{"method": 3}', '\xff'])
def test_a_damaged_config_is_named(text, tmp_path):
    (tmp_path / 'config.json').write_text(text, encoding='latin-1')
    for call in (
        lambda: run_config.load(tmp_path),
        lambda: run_config.check_unchanged(tmp_path, common.get_config(), allow_change=True),
    ):
        with pytest.raises(UserError, match=r'config\.json is damaged'):
            call()


def older_run(tmp_path, change):
    config = common.get_config()
    config.optimizer.networks.generator_a_to_b = {'learning_rate': 1e-3}
    config.image_size = 128
    run_config.save(tmp_path, config)
    saved = json.loads((tmp_path / 'config.json').read_text())
    change(saved)
    (tmp_path / 'config.json').write_text(json.dumps(saved))
    return run_config.complete(tmp_path, run_config.load(tmp_path), common.get_config())


def test_keys_that_a_run_is_older_than_have_their_defaults(tmp_path):
    def change(saved):
        del saved['evaluate_batch_size'], saved['data']['threads']

    config = older_run(tmp_path, change)
    assert config.evaluate_batch_size == common.get_config().evaluate_batch_size
    assert config.data.threads == common.get_config().data.threads
    assert config.image_size == 128
    assert config.optimizer.networks.generator_a_to_b.learning_rate == 1e-3
    common.validate(common.resolve(config))


def test_a_run_that_is_older_than_a_key_is_compared_with_its_default(tmp_path):
    config = common.get_config()
    config.optimizer.networks.generator_a_to_b = {'learning_rate': 1e-3}
    older_run(tmp_path, lambda saved: (saved.pop('rematerialize'), saved['method'].pop('cycle_weight')))
    config.image_size = 128
    given = {'allow_change': False, 'defaults': common.get_config()}
    assert run_config.check_unchanged(tmp_path, config, **given) == []
    config.rematerialize = True
    with pytest.raises(UserError, match=r'another config \(rematerialize: false -> true\)'):
        run_config.check_unchanged(tmp_path, config, **given)


def test_an_older_run_goes_on_and_may_say_what_to_do_about_faults(tmp_path):
    config = common.get_config()
    run_config.save(tmp_path, config)
    saved = json.loads((tmp_path / 'config.json').read_text())
    del saved['checkpoint'], saved['on_divergence'], saved['max_rollbacks']
    (tmp_path / 'config.json').write_text(json.dumps(saved))
    config.checkpoint.on_damage, config.on_divergence = 'fallback', 'rollback'
    assert run_config.check_unchanged(tmp_path, config, allow_change=False) == []


def test_a_value_of_another_type_is_named(tmp_path):
    with pytest.raises(UserError, match=r'config\.json does not fit this version.*batch_size'):
        older_run(tmp_path, lambda saved: saved.update(batch_size='many'))


def test_a_key_that_the_method_has_no_more_is_told_of_the_file(tmp_path):
    with pytest.raises(UserError, match=r'config\.json is of another version .* cyclegan has no noise now'):
        older_run(tmp_path, lambda saved: saved['method'].update(noise=0.1))


def test_what_a_longer_training_leaves_where_it_was_is_said(tmp_path):
    config = common.get_config()
    config.train_images = 1_000
    config.optimizer.decay_start_images = 500
    run_config.save(tmp_path, config)
    config.train_images, config.data.threads = 2_000, 7
    told = run_config.check_unchanged(tmp_path, config, allow_change=True)
    assert told == ['train_images: 1000 -> 2000 (optimizer.decay_start_images stays 500)']
    config.optimizer.decay_start_images = 1_000
    assert run_config.check_unchanged(tmp_path, config, allow_change=True) == [
        'optimizer.decay_start_images: 500 -> 1000',
        'train_images: 1000 -> 2000',
    ]


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    check_folder('output', tmp_path / 'new' / 'deeper')
    with pytest.raises(UserError, match='--workdir: s3://bucket/run is in an object store of another kind'):
        check_folder('workdir', 's3://bucket/run')
    for path in (tmp_path / 'file', tmp_path / 'file' / 'deeper'):
        with pytest.raises(UserError, match=r'--output: .*file is a file'):
            check_folder('output', path)
        with pytest.raises(RunStopped, match=r'file/.*cannot be written'):
            run_config.save(path, common.get_config())
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_changes_are_kept_with_the_images_seen(tmp_path):
    run_config.note_changes(str(tmp_path), [], 8)
    assert not list(tmp_path.iterdir())
    run_config.note_changes(str(tmp_path), ['a: 1 -> 2'], 8)
    run_config.note_changes(str(tmp_path), ['a: 2 -> 3', 'b: 0 -> 1'], 16)
    lines = (tmp_path / run_config.CHANGES).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {'images': 8, 'changes': ['a: 1 -> 2']},
        {'images': 16, 'changes': ['a: 2 -> 3', 'b: 0 -> 1']},
    ]


@pytest.mark.parametrize(
    ('number', 'kind'),
    [
        (errno.ENOSPC, RunStopped),
        (errno.EDQUOT, RunStopped),
        (errno.EROFS, RunStopped),
        (errno.EACCES, UserError),
        (errno.ENOENT, UserError),
    ],
)
def test_a_disk_that_takes_no_more_is_no_mistake_of_the_user(number, kind):
    with pytest.raises(kind, match=rf'^{os.strerror(number)}: a/b$'), from_user():
        raise OSError(number, os.strerror(number), 'a/b')


def test_a_link_to_what_is_not_there_is_told(tmp_path):
    (tmp_path / 'run').symlink_to('gone')
    for path in (tmp_path / 'run', tmp_path / 'run' / 'deeper'):
        with pytest.raises(UserError, match=r'--workdir: .* /.*/run is a link to gone, which is not there'):
            check_folder('workdir', path)
    (tmp_path / 'gone').mkdir()
    check_folder('workdir', tmp_path / 'run' / 'deeper')


def test_a_damaged_config_says_how_to_go_on(tmp_path):
    (tmp_path / 'config.json').write_text('')
    with pytest.raises(UserError, match=r'remove it: the command that started the run, .*, then goes on'):
        run_config.load(tmp_path)
    (tmp_path / 'config.json').unlink()
    assert run_config.check_unchanged(tmp_path, common.get_config(), allow_change=False) == []
