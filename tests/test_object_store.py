"""Runs in an object store, by the command line: what a folder can do, `gs://` can."""

import json
import signal
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest

from gan_transfer import storage
from gan_transfer.data import read_image
from tests import command
from tests.object_store import BUCKET, object_store

pytestmark = pytest.mark.xdist_group('object_store')
RUN = f'gs://{BUCKET}/runs/a'


class Client:
    """What the tests themselves ask the server."""

    def __init__(self, environment):
        self.environment, self._address = environment, environment['STORAGE_EMULATOR_HOST']

    def names(self, prefix=''):
        query = urllib.parse.urlencode({'prefix': prefix})
        with urllib.request.urlopen(f'{self._address}/storage/v1/b/{BUCKET}/o?{query}') as answer:
            return [item['name'] for item in json.load(answer)['items']]

    def read(self, name):
        place = urllib.parse.quote(name, safe='')
        with urllib.request.urlopen(f'{self._address}/storage/v1/b/{BUCKET}/o/{place}?alt=media') as answer:
            return answer.read()

    def write(self, name, content):
        query = urllib.parse.urlencode({'uploadType': 'media', 'name': name})
        urllib.request.urlopen(f'{self._address}/upload/storage/v1/b/{BUCKET}/o?{query}', content).close()

    def launch(self, *arguments, **options):
        return command.launch(*arguments, environment=self.environment, **options)


@pytest.fixture(scope='module')
def store():
    with object_store() as environment:
        yield Client(environment)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return command.folder_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def arguments(data):
    return command.tiny_training(data)


@pytest.fixture(scope='module')
def run(store, arguments):
    """A training that was killed behind its first checkpoint, and went on."""
    with command.start(*arguments, f'--workdir={RUN}', environment=store.environment) as process:
        while process.poll() is None and not store.names('runs/a/checkpoints/4/commit_success.txt'):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return store.launch(*arguments, f'--workdir={RUN}').stdout


def test_a_killed_run_goes_on_to_the_bit(store, arguments, run, tmp_path):
    assert 'resuming at 16 images' in run
    command.launch(*arguments, f'--workdir={tmp_path}')
    texts = store.read('runs/a/metrics.jsonl').decode(), (tmp_path / 'metrics.jsonl').read_text()
    there, local = map(command.without_times, texts)
    assert there == local
    assert len(local) == 8
    assert store.read('runs/a/samples/00000064.png') == (tmp_path / 'samples' / '00000064.png').read_bytes()
    assert any('tfevents' in name for name in store.names('runs/a/tensorboard/'))


@pytest.fixture(scope='module')
def images(store, data):
    """The test images of `day`, in the store."""
    for path in sorted((data / 'test' / 'day').iterdir()):
        store.write(f'images/{path.name}', path.read_bytes())
    return f'gs://{BUCKET}/images'


def test_images_are_translated_from_and_to_the_store(store, data, images, run, tmp_path):
    wanted = ('--mode=translate', f'--workdir={RUN}', '--target_domain=night')
    store.launch(*wanted, f'--source={images}', f'--output=gs://{BUCKET}/translated')
    store.launch(*wanted, f'--source={data / "test" / "day"}', f'--output={tmp_path}')
    local = {f'translated/{path.name}': path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: store.read(name) for name in store.names('translated/')} == local


@pytest.fixture
def damaged(store, run):
    """One bit of the newest checkpoint's largest object is another one; at the end it is as it was."""
    name = max(
        (name for name in store.names('runs/a/checkpoints/16/state/') if '/d/' in name),
        key=lambda name: len(store.read(name)),
    )
    kept = {name: store.read(name) for name in store.names('runs/a/')}
    content = bytearray(kept[name])
    content[len(content) // 2] ^= 1
    store.write(name, bytes(content))
    yield
    for name, content in kept.items():
        store.write(name, content)


def test_a_damaged_object_is_told_and_set_aside(store, arguments, damaged):
    again = (*arguments, f'--workdir={RUN}')
    assert 'the checkpoint of step 16 is damaged' in store.launch(*again, status=2).stderr
    out = store.launch(*again, '--config.checkpoint.on_damage=fallback').stdout
    assert 'the checkpoint of step 16 is damaged' in out
    assert 'resuming at 48 images' in out
    assert store.names('runs/a/aside/checkpoints_16/state/')
    assert store.names('runs/a/checkpoints/16/commit_success.txt')


def test_folders_in_the_store(store, data, images, monkeypatch):
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    place = storage.place(images)
    local = sorted((data / 'test' / 'day').iterdir())
    assert [path.name for path in storage.files_in(place.parent) if path.parent == place] == [
        x.name for x in local
    ]
    np.testing.assert_array_equal(read_image(f'{images}/{local[0].name}'), read_image(local[0]))
    assert storage.first_unused(place) == 2
    storage.move(place, storage.numbered(place, 2))
    assert not place.exists()
    assert storage.first_unused(place) == 1
    assert len(storage.files_in(storage.numbered(place, 2))) == len(local)
    storage.move(storage.numbered(place, 2), place)  # for the tests behind this one


@pytest.mark.parametrize(
    ('workdir', 'parts'),
    [
        ('gs://no-such-bucket/run', ('gs://no-such-bucket/run', 'no such object or bucket')),
        ('s3://bucket/run', ('s3://bucket/run', 'another kind than gs://')),
    ],
)
def test_stores_that_cannot_be_used(store, arguments, workdir, parts):
    result = store.launch(*arguments, f'--workdir={workdir}', status=2)
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith('error: ')
    for part in parts:
        assert part in line


def test_a_growing_file_is_whole_in_a_folder_at_once(tmp_path):
    path = tmp_path / 'new' / 'file'
    file = storage.GrowingFile(path, b'a')
    file.write(b'b')
    assert path.read_bytes() == b'ab'
    file.close()


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (ValueError('UNAVAILABLE: Error reading manifest'), 'UNAVAILABLE: Error reading manifest'),
        (PermissionError('403'), '403'),
        (ValueError('DATA_LOSS: checksum'), None),  # it is damage
        (FileNotFoundError('no manifest'), None),
        (TypeError('a fault of the program'), None),
    ],
    ids=str,
)
def test_a_store_that_does_not_answer_is_told_from_damage(error, reason):
    assert storage.why_unreachable(error) == reason
    with pytest.raises(OSError, match='gs://bucket/file'), storage.reached('gs://bucket/file'):
        raise error
