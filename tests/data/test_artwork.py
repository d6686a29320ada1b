"""Artwork: which keys train and test what, and that it is drawn once."""

import importlib.metadata

import numpy as np
import pytest
from tensorflow_datasets.core.utils import tqdm_utils

from gan_transfer.data import emoji
from gan_transfer.data.artwork import bucket, is_test, open_artwork, prepare_artwork, share
from tests.data.painted import KEYS, Painter, image_of, made


def sets(images):
    return {domain: set(images[domain].keys) for domain in images}


# A change here would mix what runs of the past trained on with what they were tested on.
@pytest.mark.parametrize(
    ('key', 'in_bucket', 'of_two', 'of_three'),
    [('1f600', 5, 1, 0), ('2764', 8, 0, 2), ('1f431', 8, 1, 2), ('1f3e0', 7, 1, 0), ('4e00', 9, 1, 0)],
)
def test_split_of_a_key_never_changes(key, in_bucket, of_two, of_three):
    assert bucket(key) == in_bucket
    assert share(key, 2) == of_two
    assert share(key, 3) == of_three
    assert is_test(key) == (in_bucket in (8, 9))


@pytest.mark.parametrize('domains', [(), ('a', 'b'), ('c', 'a'), ('b',)])
def test_training_sets_are_disjoint_and_test_sets_equal(tmp_path, domains):
    dataset = open_artwork(made(Painter()), 8, tmp_path, domains)
    assert dataset.domains == (domains or ('a', 'b', 'c'))
    train, test = sets(dataset.train), sets(dataset.test)
    together = set().union(*train.values())
    assert len(together) == sum(len(keys) for keys in train.values())
    assert all(train.values())
    assert together == {key for key in KEYS if not is_test(key)}
    first = dataset.test[dataset.domains[0]].keys
    assert list(first) == sorted(key for key in KEYS if is_test(key))
    assert all(dataset.test[domain].keys == first for domain in dataset.domains)
    assert not together & set().union(*test.values())
    assert dataset.paired_test


def test_share_keys_gives_every_domain_all_training_keys(tmp_path):
    dataset = open_artwork(made(Painter()), 8, tmp_path, share_keys=True)
    expected = {key for key in KEYS if not is_test(key)}
    assert sets(dataset.train) == dict.fromkeys('abc', expected)


def test_images_are_stored_without_loss_under_their_key(tmp_path):
    dataset = open_artwork(made(Painter()), 8, tmp_path)
    for images in (dataset.train, dataset.test):
        for domain in dataset.domains:
            for index, key in enumerate(images[domain].keys):
                example = images[domain][index]
                assert example.key == key
                np.testing.assert_array_equal(example.image, image_of(key, domain, 8))


def test_rendered_once_and_once_more_for_another_version_or_size(tmp_path, monkeypatch):
    painter = Painter()
    open_artwork(made(painter), 8, tmp_path)
    open_artwork(made(painter), 8, tmp_path, ('a', 'b'), share_keys=True)
    assert painter.calls == len(KEYS)
    open_artwork(made(painter), 12, tmp_path)
    assert painter.calls == 2 * len(KEYS)
    open_artwork(made(painter, version=2), 8, tmp_path)
    assert painter.calls == 3 * len(KEYS)
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, 'version', lambda name: '99' if name == 'pillow' else real(name))
    open_artwork(made(painter), 8, tmp_path)
    assert painter.calls == 4 * len(KEYS)
    assert len(list(tmp_path.iterdir())) == 4


def test_new_pixels_are_read_after_a_version_changed(tmp_path):
    open_artwork(made(Painter()), 8, tmp_path)
    white = {domain: np.full((8, 8, 3), 255, np.uint8) for domain in 'abc'}
    dataset = open_artwork(made(lambda key, size: white, version=2), 8, tmp_path)
    assert dataset.train['a'][0].image.min() == 255


def test_two_processes_may_prepare_at_once(tmp_path):
    slow = Painter()

    def render_while_another_finishes(key, size):
        if slow.calls == 0:
            prepare_artwork(made(Painter()), 8, tmp_path)
        return slow(key, size)

    folder = prepare_artwork(made(render_while_another_finishes), 8, tmp_path)
    assert slow.calls == len(KEYS)
    assert list(tmp_path.iterdir()) == [folder]


def test_limit_is_a_preparation_of_its_own(tmp_path):
    painter = Painter()
    limited = open_artwork(made(painter), 8, tmp_path, limit=20)
    assert painter.calls == 20
    assert sum(map(len, limited.train.values())) + len(limited.test['a']) == 20
    open_artwork(made(painter), 8, tmp_path)
    assert painter.calls == 20 + len(KEYS)


def test_unknown_domain_names_the_choices(tmp_path):
    with pytest.raises(ValueError, match="made has no domain 'd'; it has: a, b, c"):
        open_artwork(made(Painter()), 8, tmp_path, ('a', 'd'))
    with pytest.raises(ValueError, match='twice: a, a'):
        open_artwork(made(Painter()), 8, tmp_path, ('a', 'a'))
    assert list(tmp_path.iterdir()) == []


def test_missing_package_names_what_to_install(tmp_path):
    with pytest.raises(ValueError, match='needs the package no-such-art: pip install no-such-art') as info:
        open_artwork(made(Painter(), packages=('no-such-art',), requirement='no-such-art'), 8, tmp_path)
    assert '\n' not in str(info.value)


def test_nothing_is_printed(tmp_path, capfd):
    prepare_artwork(made(Painter()), 8, tmp_path)
    assert capfd.readouterr().out == ''


def test_emoji_as_a_dataset(emoji_cache):
    dataset = open_artwork(emoji.artwork(), 32, emoji_cache, limit=60)
    assert dataset.name == 'emoji'
    assert dataset.domains == ('twemoji', 'openmoji', 'openmoji_line')
    assert 'CC-BY 4.0' in dataset.licence
    assert 'CC-BY-SA 4.0' in dataset.licence
    assert dataset.truth is None
    assert dataset.factors is None
    for index in range(len(dataset.test['twemoji'])):
        examples = {domain: dataset.test[domain][index] for domain in dataset.domains}
        assert len({example.key for example in examples.values()}) == 1
        drawn = emoji.render(examples['twemoji'].key, 32)
        for domain, example in examples.items():
            np.testing.assert_array_equal(example.image, drawn[domain])


@pytest.mark.parametrize('active', [False, True])
def test_the_progress_bars_of_tfds_stay_as_they_were(active, monkeypatch, tmp_path):
    monkeypatch.setattr(tqdm_utils, '_active', active)
    prepare_artwork(made(Painter()), 4, tmp_path, limit=2)
    assert tqdm_utils._active is active
