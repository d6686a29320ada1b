import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import download_manager, extractor
from tensorflow_datasets.core.download import util as download_util

from gan_transfer import data
from gan_transfer.data import tfds_source
from tests.data import builders


@pytest.fixture
def opened(config, monkeypatch):
    """Opens a builder class as if TFDS knew it; prepares it before, unless told not to."""

    def open_with(kind, *, prepare=True, **changes):
        monkeypatch.setattr(tfds_source.tfds, 'builder', lambda name, data_dir: kind(data_dir=data_dir))
        config.data.update({'source': f'tfds:{kind.name}', **changes})
        if prepare:
            tfds_source.prepare_tfds(config.data.source, Path(config.data.cache) / 'tfds')
        return data.open_dataset(config)

    return open_with


def values(images):
    return [tuple(int(value) for value in example.image[0, 0]) for example in images]


def test_domains_are_the_labels(opened):
    dataset = opened(builders.Made)
    assert dataset.name == 'tfds:made'
    assert dataset.domains == ('cat', 'dog', 'fox')
    assert [len(dataset.train[name]) for name in dataset.domains] == [7, 7, 6]
    assert [len(dataset.test[name]) for name in dataset.domains] == [2, 1, 1]
    for label, name in enumerate(dataset.domains):
        expected = {(builders.COLOURS[name], index, 1) for index in range(label, 20, 3)}
        assert set(values(dataset.train[name])) == expected
        assert dataset.train[name][0].image.shape == (7, 5, 3)
    assert dataset.licence == 'made here'
    assert not dataset.paired_test


def test_domains_are_chosen_and_ordered(opened):
    dataset = opened(builders.Made, domains=('fox', 'cat'))
    assert dataset.domains == ('fox', 'cat')
    assert {value[0] for value in values(dataset.train['fox'])} == {30}
    assert {value[0] for value in values(dataset.test['cat'])} == {10}


def test_splits_with_letters_are_domains(opened):
    dataset = opened(builders.Letters)
    assert dataset.domains == ('A', 'B')
    counts = [(len(dataset.train[name]), len(dataset.test[name])) for name in dataset.domains]
    assert counts == [(5, 2), (6, 3)]
    assert {value[2] for value in values(dataset.train['B'])} == {1}
    assert {value[2] for value in values(dataset.test['B'])} == {0}


def test_without_a_test_split_a_tenth_is_held_out(opened):
    dataset = opened(builders.Plain)
    train = {value for name in dataset.domains for value in values(dataset.train[name])}
    test = {value for name in dataset.domains for value in values(dataset.test[name])}
    assert (len(train), len(test), len(train | test)) == (45, 5, 50)


def test_a_test_split_with_secret_labels_is_passed_over(opened):
    dataset = opened(builders.Secret)
    assert sum(len(dataset.test[name]) for name in dataset.domains) == 6
    assert dataset.test['cat'].keys[0].startswith('validation/')


@pytest.mark.parametrize(
    ('kind', 'split'), [(builders.Several, 'test'), (builders.WithoutTest, 'validation')]
)
def test_of_several_splits_test_goes_before_validation(opened, kind, split):
    dataset = opened(kind)
    assert {key.partition('/')[0] for images in dataset.test.values() for key in images.keys} == {split}


def test_transparent_and_grey_images_become_rgb(opened):
    transparent = opened(builders.Transparent, background=(7, 8, 9)).train['cat'][0].image
    assert transparent[0, 0].tolist() == [7, 8, 9]
    assert opened(builders.Grey).train['dog'][0].image[0, 0].tolist() == [20, 20, 20]


def test_unreadable_records_are_found_before_training(opened, monkeypatch):
    with pytest.raises(ValueError, match=r"1 of 8 images of 'dog' cannot be read.*: train/"):
        opened(builders.Broken, domains=('cat', 'dog'))
    with pytest.raises(ValueError, match="7 of 7 images of 'fox' cannot be read"):
        opened(builders.Broken, domains=('cat', 'fox'), max_corrupt_share=1.0)
    dataset = opened(builders.Broken, domains=('cat', 'dog'), max_corrupt_share=0.2)
    assert dataset.faults.count == 1
    assert len(set(values(dataset.train['dog']))) == 6
    monkeypatch.setattr(tfds_source, 'read_image', None)  # what was checked is not read again
    assert opened(builders.Broken, domains=('cat', 'dog'), max_corrupt_share=0.2).faults.count == 1


@pytest.mark.parametrize(
    ('kind', 'error', 'message'),
    [
        (
            builders.Made,
            OSError,
            'prepared data in .* is damaged: .*; remove it, and it is made anew',
        ),  # labels are read at once
        (builders.Letters, ValueError, "images of 'A' cannot be read, more than"),
    ],
)
def test_damaged_records_are_one_line_that_says_what_to_remove(opened, config, kind, error, message):
    opened(kind)
    for record in Path(config.data.cache, 'tfds').rglob('*.array_record*'):
        record.write_bytes(record.read_bytes()[:-50])
    with pytest.raises(error, match=message):
        opened(kind, prepare=False)


def test_batches(opened, config):
    dataset = opened(builders.Made, domains=('cat', 'dog'))
    iterator = data.make_pipeline(dataset, config, ('source', 'target'), 'two_domains')
    batch = next(iterator)
    iterator.close()
    assert set(batch['source'][:, 0, 0, 0].tolist()) == {10}
    assert set(batch['target'][:, 0, 0, 0].tolist()) == {20}


class TestErrors:
    def fails(self, text, call, *args, **options):
        with pytest.raises(ValueError, match=text) as info:
            call(*args, **options)
        assert '\n' not in str(info.value)

    def test_not_prepared(self, opened):
        self.fails(
            'tfds:made is not prepared in .*: run with --mode=prepare first',
            opened,
            builders.Made,
            prepare=False,
        )

    def test_unknown_domain(self, opened):
        self.fails("no domain 'cow'; it has: cat, dog, fox", opened, builders.Made, domains=('cow', 'cat'))

    def test_no_labels(self, opened):
        self.fails('no ClassLabel feature; it has image', opened, builders.Unlabelled)

    def test_no_training_split(self, opened):
        self.fails("neither a split 'train' nor trainA and trainB; it has all_of_it", opened, builders.Odd)

    def test_preparing_needs_tensorflow(self, opened):
        self.fails('needs TensorFlow .*pip install tensorflow-cpu', opened, builders.NeedsTensorFlow)

    @pytest.mark.parametrize(
        ('name', 'text'),
        [
            ('no_such_set', "TFDS has no builder 'no_such_set'"),
            ('cycle_gan/no_such', "no config 'no_such'; it has .*horse2zebra"),
            ('mnist:9.9.9', r"data.source='tfds:mnist:9.9.9' .*cannot be loaded at version 9.9.9"),
            ('mnist/version=3', "data.source='tfds:mnist/version=3' .*strings to versions"),
            ('huggingface:mnist', "data.source='tfds:huggingface:mnist' .*No module named"),
        ],
    )
    def test_unknown_name(self, config, name, text):
        if name.startswith('huggingface') and importlib.util.find_spec('huggingface_hub'):
            pytest.skip('huggingface_hub is installed')
        config.data.source = f'tfds:{name}'
        self.fails(text, data.open_dataset, config)

    def test_a_file_that_must_be_fetched_by_hand(self, config):
        config.data.source = 'tfds:imagenet2012'
        self.fails(
            "data.source='tfds:imagenet2012' .*Manual directory .* does not exist", data.prepare, config
        )

    @pytest.mark.parametrize(
        'error',
        [
            download_util.DownloadError('no such file'),
            download_manager.NonMatchingChecksumError('no such file\nexpected', 'path'),
            extractor.ExtractError('no such file'),
            ImportError('no such file'),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_cannot_be_prepared(self, opened, monkeypatch, error):
        def refuse(self, dl_manager):
            raise error

        monkeypatch.setattr(builders.Made, '_split_generators', refuse)
        self.fails("data.source='tfds:made' cannot be prepared: .*no such file", opened, builders.Made)

    def test_damage_of_what_describes_the_data(self, opened, config):
        opened(builders.Made)
        (path,) = Path(config.data.cache).rglob('dataset_info.json')
        path.write_text('')
        self.fails(
            "data.source='tfds:made' cannot be opened in .*: .*JSON", opened, builders.Made, prepare=False
        )

    def test_cycle_gan_says_that_preparing_needs_tensorflow(self, config, capsys, monkeypatch):
        def no_download(self, urls):
            return {name: Path('/nowhere') for name in urls} if isinstance(urls, dict) else Path('/nowhere')

        monkeypatch.setattr(tfds.download.DownloadManager, 'download_and_extract', no_download)
        config.data.source = 'tfds:cycle_gan/horse2zebra'
        if importlib.util.find_spec('tensorflow'):
            pytest.skip('TensorFlow is installed')
        self.fails('needs TensorFlow', data.prepare, config)


def test_prepare_prints_what_there_is(config, capsys, monkeypatch):
    monkeypatch.setattr(tfds_source.tfds, 'builder', lambda name, data_dir: builders.Made(data_dir=data_dir))
    config.data.source = 'tfds:made'
    data.prepare(config)
    printed = capsys.readouterr().out
    assert 'cat: 7 training images, 2 test images' in printed
    assert 'licence: made here' in printed


@pytest.fixture
def mocked(tmp_path, monkeypatch):
    """TFDS makes up the images of any builder, given its splits: nothing is downloaded."""
    # It would encode them with TensorFlow.
    encoder = tfds.core.features.image_feature._ImageEncoder
    monkeypatch.setattr(encoder, '_encode_image', lambda self, pixels: builders.png_of(pixels))

    def write(name, splits):
        builder = tfds.builder(name, data_dir=tmp_path, file_format='array_record')
        template = tfds.core.ShardedFileTemplate(
            data_dir=builder.data_path, dataset_name=builder.name, filetype_suffix='array_record'
        )
        infos = [
            tfds.core.SplitInfo(
                name=split, shard_lengths=[12], num_bytes=0, filename_template=template.replace(split=split)
            )
            for split in splits
        ]
        builder.info.set_splits(tfds.core.splits.SplitDict(infos))
        builder.data_path.mkdir(parents=True)
        builder.info.write_to_directory(builder.data_path)
        return tfds.testing.mock_data(num_examples=12, data_dir=str(tmp_path))

    return write


def test_mock_data_of_cycle_gan(config, mocked):
    config.data.source, config.image_size = 'tfds:cycle_gan/horse2zebra', 16
    with mocked('cycle_gan/horse2zebra', ('trainA', 'trainB', 'testA', 'testB')):
        dataset = data.open_dataset(config)
        assert dataset.domains == ('A', 'B')
        assert len(dataset.train['A']) == 12
        assert dataset.train['A'][0].image.dtype == np.uint8
        iterator = data.make_pipeline(dataset, config, ('source', 'target'), 'two_domains')
        batch = next(iterator)
        iterator.close()
    assert batch['source'].shape == (8, 16, 16, 3)
    assert batch['source'].std() > 1


def test_mock_data_with_labels(config, mocked):
    config.data.source = 'tfds:mnist'
    with mocked('mnist', ('train', 'test')):
        rows = tfds.data_source('mnist', split='train', decoders={'image': tfds.decode.SkipDecoding()})
        labels = [int(rows[index]['label']) for index in range(12)]
        config.data.domains = tuple(str(label) for label in sorted(set(labels))[:2])
        dataset = data.open_dataset(config)
        for name in dataset.domains:
            assert len(dataset.train[name]) == labels.count(int(name))
            assert dataset.train[name][0].image.shape == (28, 28, 3)
