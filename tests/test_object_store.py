"""Runs in an object store, by the command line: what a folder can do, `gs://` can."""

import json
import signal
import time
import urllib.parse
import urllib.request

import pytest

from gan_transfer import storage
from tests import command
from tests.object_store import BUCKET, object_store

pytestmark = pytest.mark.xdist_group('object_store')
RUN = f'gs://{BUCKET}/runs/a'
TIMES = ('seconds', 'images_per_second')


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
    return (
        *command.TINY_CYCLEGAN,
        '--config.train_images=64',
        '--config.data.domains=day,night',
        '--config.data.source=folder',
        f'--config.data.path={data}',
    )


@pytest.fixture(scope='module')
def run(store, arguments):
    """A training that was killed behind its first checkpoint, and went on."""
    with command.start(*arguments, f'--workdir={RUN}', environment=store.environment) as process:
        while process.poll() is None and not store.names('runs/a/checkpoints/4/commit_success.txt'):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return store.launch(*arguments, f'--workdir={RUN}').stdout


def without_times(text):
    lines = [json.loads(line) for line in text.splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def test_a_killed_run_goes_on_to_the_bit(store, arguments, run, tmp_path):
    assert 'resuming at 16 images' in run
    command.launch(*arguments, f'--workdir={tmp_path}')
    there = store.read('runs/a/metrics.jsonl').decode()
    assert without_times(there) == without_times((tmp_path / 'metrics.jsonl').read_text())
    assert store.read('runs/a/samples/00000064.png') == (tmp_path / 'samples' / '00000064.png').read_bytes()
    assert any('tfevents' in name for name in store.names('runs/a/tensorboard/'))
    assert not [name for name in store.names('runs/a/') if 'partial' in name]


def test_images_are_translated_from_and_to_the_store(store, data, run, tmp_path):
    for path in sorted((data / 'test' / 'day').iterdir()):
        store.write(f'images/{path.name}', path.read_bytes())
    wanted = ('--mode=translate', f'--workdir={RUN}', '--target_domain=night')
    store.launch(*wanted, f'--source=gs://{BUCKET}/images', f'--output=gs://{BUCKET}/translated')
    store.launch(*wanted, f'--source={data / "test" / "day"}', f'--output={tmp_path}')
    local = {f'translated/{path.name}': path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: store.read(name) for name in store.names('translated/')} == local


def test_a_damaged_object_is_told(store, run):
    name = max(
        (name for name in store.names('runs/a/checkpoints/16/state/') if '/d/' in name),
        key=lambda name: len(store.read(name)),
    )
    content = bytearray(good := store.read(name))
    content[len(content) // 2] ^= 1
    store.write(name, bytes(content))
    source = f'--source=gs://{BUCKET}/images'
    result = store.launch(
        *(
            '--mode=translate',
            f'--workdir={RUN}',
            '--target_domain=night',
            source,
            f'--output=gs://{BUCKET}/other',
        ),
        status=2,
    )
    store.write(name, good)
    assert 'the checkpoint of step 16 is damaged' in result.stderr


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
