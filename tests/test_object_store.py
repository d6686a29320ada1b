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
from gan_transfer.growing_file import GrowingFile
from tests import command
from tests.evaluation.made_data import draw
from tests.importers import torch_files
from tests.object_store import BUCKET, object_store
from tests.reference import cases
from tests.test_import_checkpoint import imported

# Two groups, for two workers, each with a server.
one_run = pytest.mark.xdist_group('object_store')
others = pytest.mark.xdist_group('object_store_others')
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


@pytest.fixture(scope='module')
def local(arguments, tmp_path_factory):
    """The same training in a folder, never stopped."""
    workdir = tmp_path_factory.mktemp('local')
    command.launch(*arguments, f'--workdir={workdir}')
    return workdir


@one_run
def test_a_killed_run_goes_on_to_the_bit(store, run, local):
    assert 'resuming at 16 images' in run
    texts = store.read('runs/a/metrics.jsonl').decode(), (local / 'metrics.jsonl').read_text()
    there, here = map(command.without_times, texts)
    assert there == here
    assert len(here) == 8
    assert store.read('runs/a/samples/00000064.png') == (local / 'samples' / '00000064.png').read_bytes()
    assert any('tfevents' in name for name in store.names('runs/a/tensorboard/'))


@pytest.fixture(scope='module')
def images(store, data):
    """The test images of `day`, in the store."""
    for path in sorted((data / 'test' / 'day').iterdir()):
        store.write(f'images/{path.name}', path.read_bytes())
    return f'gs://{BUCKET}/images'


@one_run
def test_images_are_translated_from_and_to_the_store(store, data, images, run, tmp_path):
    wanted = ('--mode=translate', f'--workdir={RUN}', '--target_domain=night')
    store.launch(*wanted, f'--source={images}', f'--output=gs://{BUCKET}/translated')
    store.launch(*wanted, f'--source={data / "test" / "day"}', f'--output={tmp_path}')
    local = {f'translated/{path.name}': path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: store.read(name) for name in store.names('translated/')} == local


@one_run
def test_data_in_the_store_are_those_of_a_folder(store, data, arguments, local, tmp_path):
    for path in sorted(data.rglob('*.png')):
        store.write(f'data/{path.relative_to(data)}', path.read_bytes())
    there = f'--config.data.path=gs://{BUCKET}/data'
    store.launch(*arguments, there, '--config.train_images=32', f'--workdir={tmp_path}')
    texts = [(folder / 'metrics.jsonl').read_text() for folder in (tmp_path, local)]
    found, wanted = map(command.without_times, texts)
    assert found == wanted[: len(found)]
    assert len(found) == 4


@others
def test_two_processes_share_a_run_in_the_store(store, tmp_path):
    """Stopped in between or not, in the store or in a folder."""
    wanted = (*command.two_processes_training(tmp_path / 'data'), '--config.train_images=64')
    half = (*wanted, '--config.train_images=32')

    def train(place, environment, *arguments):
        processes = command.fork_both(*arguments, f'--workdir={place}', environment=environment)
        ends = [command.end(process) for process in processes]
        assert [status for status, _, _ in ends] == [0, 0], ends
        return ends[0][1]

    train(f'gs://{BUCKET}/runs/two', store.environment, *half)
    out = train(f'gs://{BUCKET}/runs/two', store.environment, *wanted, '--allow_config_change')
    assert 'resuming at 32 images' in out
    train(tmp_path, {}, *wanted)
    texts = store.read('runs/two/metrics.jsonl').decode(), (tmp_path / 'metrics.jsonl').read_text()
    there, here = map(command.without_times, texts)
    assert there == here
    assert len(there) == 8


@others
def test_folders_in_the_store_are_compared_as_those_on_a_disk(store, tmp_path):
    for name, first, styled in (('real', 0, True), ('generated', 50, False)):
        for i in range(12):
            path = command.write(tmp_path / name / f'{i:02}.png', draw(str(first + i), styled))
            store.write(f'compared/{name}/{path.name}', path.read_bytes())
    for root, workdir in ((f'gs://{BUCKET}/compared', f'gs://{BUCKET}/compared_run'), (tmp_path, tmp_path)):
        folders = f'--real={root}/real', f'--generated={root}/generated'
        out = store.launch('--mode=evaluate', f'--workdir={workdir}', *folders).stdout
        assert out.splitlines()[-1] == f'{workdir}/evaluation.json'
    texts = store.read('compared_run/evaluation.json'), (tmp_path / 'evaluation.json').read_bytes()
    results = [json.loads(text)['protocols']['default'] for text in texts]
    assert results[0]['translated'] == results[1]['translated']
    assert results[0]['images'] == {'generated': 12, 'real': 12}


@others
def test_a_checkpoint_in_the_store_is_imported_and_translates(store, data, tmp_path):
    case = cases.load('cut_generator_resnet9')
    path = torch_files.write_zip(tmp_path / 'latest_net_G.pth', case.weights())
    store.write('published/latest_net_G.pth', path.read_bytes())
    source = data / 'test' / 'day' / '0.png'
    store.write('published/0.png', source.read_bytes())
    there = (f'--workdir=gs://{BUCKET}/runs/imported',)
    checkpoint = f'--checkpoint=gs://{BUCKET}/published/latest_net_G.pth'
    store.launch('--config=configs/cut.py:size=64', '--mode=import', '--from=cut', checkpoint, *there)
    places = f'--source=gs://{BUCKET}/published/0.png', f'--output={tmp_path / "0.png"}'
    store.launch('--mode=translate', *there, *places)

    imported('cut', path, tmp_path / 'run')
    here = (f'--workdir={tmp_path / "run"}', f'--source={source}', f'--output={tmp_path / "here.png"}')
    command.launch('--mode=translate', *here)
    assert (tmp_path / '0.png').read_bytes() == (tmp_path / 'here.png').read_bytes()


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


@one_run
def test_a_damaged_object_is_told_and_set_aside(store, arguments, damaged):
    again = (*arguments, f'--workdir={RUN}')
    assert 'the checkpoint of step 16 is damaged' in store.launch(*again, status=2).stderr
    out = store.launch(*again, '--config.checkpoint.on_damage=fallback').stdout
    assert 'the checkpoint of step 16 is damaged' in out
    assert 'resuming at 48 images' in out
    assert store.names('runs/a/aside/checkpoints_16/state/')
    assert store.names('runs/a/checkpoints/16/commit_success.txt')


@one_run
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


@others
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
    file = GrowingFile(path, b'a')
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
