"""Pairs: the folder layouts that hold them, and batches in which a pair stays a pair."""

from pathlib import PurePath

import numpy as np
import PIL.Image
import pytest

from gan_transfer.data import open_dataset
from gan_transfer.data.dataset import Dataset, Example, Faults
from gan_transfer.data.pipeline import make_pipeline


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)


def shade(number, half=0, height=8, width=8):
    return np.full((height, width, 3), (number, 100 * half, 0), np.uint8)


def side_by_side(root, count=5):
    for split, first in (('train', 0), ('val', 50)):
        for i in range(first, first + count):
            write(root / split / f'{i}.png', np.concatenate([shade(i), shade(i, 1)], axis=1))


def one_folder_each(root, count=5):
    for half, name in enumerate('AB'):
        for split, first in (('train', 0), ('test', 50)):
            for i in range(first, first + count):
                write(root / name / split / f'{i}.{"png" if half else "bmp"}', shade(i, half))


@pytest.fixture
def root(tmp_path):
    return tmp_path / 'root'


@pytest.fixture
def opened(config, root):
    def open_with(**changes):
        config.data.update({'source': 'folder', 'path': str(root), 'max_corrupt_share': 0.4, **changes})
        return open_dataset(config)

    return open_with


@pytest.mark.parametrize('make', [side_by_side, one_folder_each])
def test_layouts_of_pairs(opened, root, make):
    make(root)
    dataset = opened()
    assert dataset.domains == ('A', 'B')
    assert dataset.paired_train
    assert dataset.paired_test
    assert dataset.aligned == {frozenset('AB')}
    for part, first in ((dataset.train, 0), (dataset.test, 50)):
        assert len(part['A']) == len(part['B']) == 5
        for i in range(5):
            np.testing.assert_array_equal(part['A'][i].image, shade(first + i))
            np.testing.assert_array_equal(part['B'][i].image, shade(first + i, 1))
    backward = opened(domains=('B', 'A'))
    assert backward.domains == ('B', 'A')
    np.testing.assert_array_equal(backward.train['B'][2].image, shade(2, 1))


def test_pairs_go_before_folders_whose_names_begin_with_train(opened, root):
    one_folder_each(root)
    write(root / 'train_logs' / '0.png', shade(0))
    assert opened().paired_train


def test_pairs_side_by_side_may_have_a_folder_without_images_beside_them(opened, root, caplog):
    side_by_side(root)
    (root / 'train' / 'masks').mkdir()
    (root / 'test').mkdir()
    dataset = opened()
    assert dataset.paired_train
    assert len(dataset.test['A']) == 5, 'those of val, as test holds none'
    assert f'{root}/train: not read: masks' in caplog.text


def test_a_missing_counterpart_is_named(opened, root):
    one_folder_each(root)
    (root / 'B' / 'train' / '3.png').unlink()
    with pytest.raises(ValueError, match=r'A/train/3.bmp has no counterpart of its name \(1 such images\)'):
        opened()


def test_two_files_of_one_name_are_refused(opened, root):
    one_folder_each(root)
    write(root / 'A' / 'train' / '3.png', shade(3))
    with pytest.raises(ValueError, match=r'3\.bmp and 3\.png have one name'):
        opened()


def test_an_unreadable_image_takes_its_counterpart_along(opened, root):
    one_folder_each(root)
    (root / 'B' / 'train' / '2.png').write_bytes(b'broken')
    dataset = opened()
    for i in range(5):
        numbers = {int(dataset.train[name][i].image[0, 0, 0]) for name in 'AB'}
        assert numbers == {3 if i == 2 else i}
    assert dataset.faults.names == ('A/train/2.bmp', 'B/train/2.png')


def test_too_many_unreadable_pairs_say_which_of_the_two_is(opened, root):
    one_folder_each(root)
    (root / 'B' / 'train' / '2.png').write_bytes(b'broken')
    line = (
        r"1 of 10 images of 'A' .*: A/train/2\.bmp; of the first: its counterpart B/train/2\.png cannot be read: "
        r'.*/B/train/2\.png is no image'
    )
    with pytest.raises(ValueError, match=line):
        opened(max_corrupt_share=0.0)


def test_an_unreadable_test_image_takes_its_counterpart_along(opened, root):
    one_folder_each(root)
    (root / 'B' / 'test' / '51.png').write_bytes(b'broken')
    test = opened().test
    numbers = [[int(test[name][i].image[0, 0, 0]) for i in range(len(test[name]))] for name in 'AB']
    assert numbers == [[50, 52, 53, 54]] * 2


def test_names_with_dots_are_pairs_whatever_their_ending(opened, root):
    # By their whole names a.k.png is before a.png, and a.jpg before a.k.jpg.
    for name, ending in (('A', 'png'), ('B', 'jpg')):
        for split in ('train', 'test'):
            for stem in ('a', 'a.k'):
                write(root / name / split / f'{stem}.{ending}', shade(0))
    dataset = opened()
    for part in (dataset.train, dataset.test):
        stems = [[PurePath(key).stem for key in part[name].keys] for name in 'AB']
        assert stems == [['a', 'a.k']] * 2


def test_what_is_not_side_by_side_is_unreadable(opened, root):
    side_by_side(root)
    write(root / 'train' / '3.png', shade(3, height=8, width=8))
    dataset = opened()
    assert dataset.faults.names == ('train/3.png',)
    assert {int(dataset.train[name][3].image[0, 0, 0]) for name in 'AB'} == {4}


class Images:
    """Images whose pixels tell number, row and column; those of the second domain may be larger."""

    def __init__(self, count, factor=(1, 1)):
        self.keys = tuple(map(str, range(count)))
        self.factor = factor

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        rows, columns = np.mgrid[:32, :32] * 8
        image = np.stack([np.full_like(rows, index), rows, columns], axis=-1).astype(np.uint8)
        return Example(str(index), image.repeat(self.factor[0], axis=0).repeat(self.factor[1], axis=1))


def dataset(count=6, factor=(1, 1), *, paired=True):
    train = {'a': Images(count), 'b': Images(count, factor)}
    return Dataset('made', ('a', 'b'), train, train, paired, '', Faults(), paired_train=paired)


def batches(config, data, number, start=0):
    pipeline = make_pipeline(data, config, ('source', 'paired'), 'paired', start_step=start)
    try:
        return [next(pipeline) for _ in range(number)]
    finally:
        pipeline.close()


@pytest.mark.parametrize('augmentation', ['resize_crop', 'random_resized_crop', 'none'])
@pytest.mark.parametrize('factor', [(1, 1), (2, 2), (1, 3)])
def test_both_of_a_pair_are_cropped_and_mirrored_alike(config, augmentation, factor):
    config.data.augmentation = augmentation
    config.data.flip = True
    config.image_size, config.batch_size = 16, 6
    places = set()
    for batch in batches(config, dataset(factor=factor), 3):
        # Averages of repeated pixels and cubic interpolation may round apart.
        np.testing.assert_allclose(
            batch['source'].astype(int), batch['paired'].astype(int), atol=0 if factor == (1, 1) else 12
        )
        places |= {tuple(image[8, 8, 1:]) for image in batch['source']}
    assert len(places) > 1, 'and not all the same way'


def test_every_pair_once_in_an_epoch_and_the_stream_goes_on_where_it_stopped(config):
    config.data.augmentation = 'none'
    config.image_size, config.batch_size = 16, 3
    stream = batches(config, dataset(), 6)
    numbers = [int(image[0, 0, 0]) for batch in stream for image in batch['source']]
    assert sorted(numbers[:6]) == sorted(numbers[6:12]) == list(range(6))
    assert numbers[:6] != numbers[6:12]
    for now, later in zip(batches(config, dataset(), 3, start=3), stream[3:], strict=True):
        np.testing.assert_array_equal(now['paired'], later['paired'])


def test_data_without_pairs_is_refused_with_what_to_do(config):
    with pytest.raises(ValueError, match=r'made are not pairs: data.share_keys=True .* side by side'):
        batches(config, dataset(paired=False), 1)
