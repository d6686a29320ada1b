import os

import numpy as np
import PIL.Image
import pytest

from gan_transfer.data import open_dataset
from gan_transfer.errors import RunStopped


def write(path, colour=(200, 100, 50)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new('RGB', (6, 4), colour).save(path)


def afhq(root, test='test', count=5):
    for label, domain in enumerate(('cat', 'dog', 'wild')):
        for index in range(count):
            write(root / 'train' / domain / f'{index}.png', (label, index, 0))
            if index < 2:
                write(root / test / domain / f'{index}.jpg')


def cyclegan(root):
    for label, domain in enumerate('AB'):
        for index in range(4):
            write(root / f'train{domain}' / f'{index}.png', (label, index, 0))
        write(root / f'test{domain}' / '0.png', (label, 100, 0))


@pytest.fixture
def opened(config, tmp_path):
    def open_with(**changes):
        config.data.update({'source': 'folder', 'path': str(tmp_path / 'root'), **changes})
        return open_dataset(config)

    return open_with


@pytest.fixture
def root(tmp_path):
    return tmp_path / 'root'


@pytest.mark.parametrize('test', ['test', 'val'])
def test_layout_of_a_folder_per_domain(opened, root, test):
    afhq(root, test)
    dataset = opened()
    assert dataset.domains == ('cat', 'dog', 'wild')
    assert [len(dataset.train[name]) for name in dataset.domains] == [5, 5, 5]
    assert [len(dataset.test[name]) for name in dataset.domains] == [2, 2, 2]
    example = dataset.train['dog'][3]
    assert example.key == 'train/dog/3.png'
    np.testing.assert_array_equal(example.image, np.broadcast_to((1, 3, 0), (4, 6, 3)))
    assert dataset.test['cat'][0].key == f'{test}/cat/0.jpg'
    assert not dataset.paired_test


def test_what_is_no_image_is_told_once_a_folder(opened, root, caplog):
    afhq(root)
    (root / 'train' / 'cat' / 'b.svg').touch()
    for ending in ('gif', 'ppm', 'avif'):
        write(root / 'train' / 'cat' / f'c.{ending}')
    (root / 'train' / 'cat' / 'more').mkdir()
    (root / 'train' / 'dog' / '.DS_Store').touch()
    dataset = opened()
    assert len(dataset.train['cat']) == 5 + 3
    assert not dataset.faults.count
    told = [line for line in caplog.messages if 'not read' in line]
    assert len(told) == 1
    assert 'train/cat: not read: b.svg and 1 more (.jpg .jpeg' in told[0]


def test_layout_with_letters(opened, root):
    cyclegan(root)
    dataset = opened()
    assert dataset.domains == ('A', 'B')
    assert dataset.train['B'].keys == tuple(f'trainB/{index}.png' for index in range(4))
    assert dataset.test['B'][0].image[0, 0].tolist() == [1, 100, 0]


def test_test_folder_goes_before_val(opened, root):
    afhq(root, 'val')
    afhq(root, 'test')
    assert opened().test['dog'].keys[0] == 'test/dog/0.jpg'


def test_test_images_may_be_missing(opened, root, caplog):
    write(root / 'trainA' / '0.png')
    write(root / 'trainB' / '0.png')
    (root / 'testB').mkdir()
    dataset = opened()
    assert len(dataset.test['A']) == len(dataset.test['B']) == 0
    assert [f'domain {name} has no test images under {root}' for name in 'AB'] == caplog.messages


def test_an_empty_test_folder_does_not_hide_one_with_images(opened, root, caplog):
    cyclegan(root)
    (root / 'testA').rename(root / 'valA')
    (root / 'testA').mkdir()
    dataset = opened()
    assert [dataset.test[name].keys for name in 'AB'] == [('valA/0.png',), ('testB/0.png',)]
    assert not caplog.messages


def test_other_folders_whose_names_begin_alike_are_no_domains(opened, root, caplog):
    cyclegan(root)
    write(root / 'training_samples' / '0.png')
    write(root / 'train_logs' / '0.png')
    (root / 'train').mkdir()
    assert opened().domains == ('A', 'B')
    assert f'{root}: not read: train_logs, training_samples (trainA trainB are)' in caplog.messages


def test_letters_may_be_words(opened, root):
    for name in ('trainhorse', 'trainZebra', 'train_cat', 'trainedges', 'training', 'trained_models'):
        write(root / name / '0.png')
    (root / 'train_logs').mkdir()
    assert opened().domains == ('Zebra', '_cat', 'edges', 'horse')


def test_domains_are_chosen_and_ordered(opened, root):
    afhq(root)
    dataset = opened(domains=('wild', 'cat'))
    assert dataset.domains == ('wild', 'cat')
    assert set(dataset.train) == set(dataset.test) == {'wild', 'cat'}


def test_all_kinds_of_files_are_found_and_others_left_alone(opened, root):
    names = ['a.jpg', 'b.JPEG', 'c.png', 'd.webp', 'e.bmp', 'f.tif', 'g.tiff']
    for name in names:
        write(root / 'trainA' / name)
    (root / 'trainA' / 'notes.txt').write_text('x')
    (root / 'trainA' / '.hidden.png').write_text('x')
    write(root / 'trainA' / 'deeper' / 'x.png')
    write(root / 'trainB' / 'a.png')
    dataset = opened()
    assert dataset.train['A'].keys == tuple(f'trainA/{name}' for name in names)
    assert len([example.image for example in dataset.train['A']]) == 7


def test_background_is_that_of_the_config(opened, root):
    for domain in 'AB':
        (root / f'train{domain}').mkdir(parents=True)
        PIL.Image.new('RGBA', (4, 4), (9, 9, 9, 0)).save(root / f'train{domain}' / '0.png')
    assert opened(background=(1, 2, 3)).train['A'][0].image[0, 0].tolist() == [1, 2, 3]


class TestErrors:
    def fails(self, opened, text, **changes):
        with pytest.raises(ValueError, match=text) as info:
            opened(**changes)
        assert '\n' not in str(info.value)
        return str(info.value)

    def test_no_path(self, opened):
        self.fails(opened, 'needs data.path', path='')

    def test_missing_root(self, opened, root):
        self.fails(opened, f'data.path={str(root)!r} is no folder')

    def test_root_of_something_else(self, opened, root):
        write(root / 'cats' / '0.png')
        self.fails(opened, r'has no train/<domain>/ .* trainA trainB .*; there is: cats/$')

    def test_empty_root(self, opened, root):
        root.mkdir()
        self.fails(opened, 'there is: nothing')

    def test_empty_domain_says_what_is_there(self, opened, root):
        afhq(root)
        (root / 'train' / 'fox').mkdir()
        (root / 'train' / 'fox' / 'fox.svg').write_text('x')
        self.fails(opened, r'no images \(.jpg .*\) in .*train/fox .*; there is: fox.svg')

    def test_empty_domain_of_a_letter(self, opened, root):
        cyclegan(root)
        (root / 'trainC').mkdir()
        self.fails(opened, r'no images \(.jpg .*\) in .*trainC .*; there is: nothing')

    def test_what_is_in_a_training_folder_of_no_use(self, opened, root):
        (root / 'train').mkdir(parents=True)
        (root / 'train' / 'fox.svg').touch()
        self.fails(opened, r'there is: train/; in train/: fox\.svg$')

    def test_images_beside_folders_of_images(self, opened, root):
        write(root / 'train' / '0.png')
        write(root / 'train' / 'masks' / '0.png')
        self.fails(opened, rf'{root}/train holds both images and folders of images \(masks\): ')

    def test_unknown_domain(self, opened, root):
        afhq(root)
        self.fails(opened, "has no domain 'cow'; it has: cat, dog, wild", domains=('cat', 'cow'))

    def test_too_many_unreadable(self, opened, root):
        afhq(root, count=20)
        for index in range(12):
            (root / 'train' / 'cat' / f'{index}.png').write_bytes(b'broken')
        message = self.fails(
            opened, "12 of 22 images of 'cat' cannot be read, more than data.max_corrupt_share=0.01"
        )
        listed, _, reason = message.partition(' and 2 more; of the first: ')
        assert 'train/cat/0.png' in listed
        assert listed.count('.png') == 10
        assert reason.startswith(f'{root}/train/cat/0.png is no image of a known format')


def test_few_unreadable_are_counted_and_named_replaced_in_training_and_left_out_of_tests(opened, root):
    afhq(root)
    data = (root / 'train' / 'cat' / '0.png').read_bytes()
    (root / 'train' / 'cat' / '1.png').write_bytes(data[: len(data) // 2])
    (root / 'test' / 'dog' / '1.jpg').write_bytes(b'')
    dataset = opened(max_corrupt_share=0.2)
    assert dataset.faults.names == ('test/dog/1.jpg', 'train/cat/1.png')
    assert [example.key for example in dataset.train['cat']] == [
        f'train/cat/{index}.png' for index in (0, 2, 2, 3, 4)
    ]
    assert [example.key for example in dataset.test['dog']] == ['test/dog/0.jpg']
    assert len(dataset.test['cat']) == 2
    assert dataset.faults.count == 2


def test_each_image_that_is_left_of_a_test_has_its_own_name(opened, root):
    afhq(root)
    for index in range(4):
        write(root / 'test' / 'dog' / f'{index}.png', (index, 0, 0))
    (root / 'test' / 'dog' / '0.jpg').unlink()
    (root / 'test' / 'dog' / '1.jpg').unlink()
    (root / 'test' / 'dog' / '0.png').write_bytes(b'broken')
    test = opened(max_corrupt_share=0.2).test['dog']
    found = [(test[i].key, int(test[i].image[0, 0, 0])) for i in range(len(test))]
    assert found == [(f'test/dog/{index}.png', index) for index in (1, 2, 3)]


def test_share_is_a_limit_not_a_bound(opened, root):
    afhq(root)
    (root / 'train' / 'cat' / '1.png').write_bytes(b'')
    opened(max_corrupt_share=1 / 7)
    with pytest.raises(ValueError, match="1 of 7 images of 'cat'"):
        opened(max_corrupt_share=0.9 / 7)


@pytest.mark.parametrize('split', ['train', 'test'])
def test_a_split_without_a_readable_image_is_refused(opened, root, split):
    afhq(root)
    for path in (root / split / 'dog').iterdir():
        path.write_bytes(b'broken')
    with pytest.raises(ValueError, match=f"of 7 images of 'dog' cannot be read.*{split}/dog/0"):
        opened(max_corrupt_share=1.0)


def test_an_image_that_breaks_later_ends_the_run_and_is_replaced_from_the_next_start_on(opened, root):
    afhq(root)
    dataset = opened()
    (root / 'train' / 'cat' / '1.png').write_bytes(b'')
    (root / 'train' / 'dog' / '2.png').unlink()
    for domain, index in (('cat', 1), ('dog', 2)):
        with pytest.raises(
            RunStopped, match=rf'^train/{domain}/{index}\.png cannot be read: .* looks at it again'
        ):
            dataset.train[domain][index]
    assert opened(max_corrupt_share=0.5).train['cat'][1].key == 'train/cat/2.png'


def test_an_image_whose_file_tells_nothing_of_its_damage_is_looked_at_again(opened, root):
    afhq(root)
    assert opened().faults.count == 0
    path = root / 'train' / 'cat' / '1.png'
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(RunStopped, match='the same command looks at it again'):
        opened(max_corrupt_share=0.5).train['cat'][1]
    dataset = opened(max_corrupt_share=0.5)
    assert dataset.train['cat'][1].key == 'train/cat/2.png'
    assert dataset.unreadable_training_images == ['train/cat/1.png']
