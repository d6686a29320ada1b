import itertools

import jax
import numpy as np
import pytest

from gan_transfer import sharding
from gan_transfer.data import abstract_batch, make_pipeline, pipeline
from gan_transfer.data.dataset import Dataset, Faults, Images, MemoryBudget

LATENT = 3

FIELDS = tuple(field for field in pipeline.FIELDS if field != 'paired')  # see test_pairs.py


def made_dataset(*sizes, unreadable=()):
    """Domain d has sizes[d] images; the pixels of image i are (d, i, 0), so that a batch tells what it shows."""
    faults, memory = Faults(), MemoryBudget()

    def images(label, size):
        def read(index):
            return np.full((8, 8, 3), (label, index, 0), np.uint8)

        made = Images([f'{label}/{index}' for index in range(size)], read, faults, memory)
        made.set_unreadable({f'{label}/{index}': 'cut off' for label, index in unreadable})
        return made

    names = tuple('abcdef'[: len(sizes)])
    train = {name: images(label, size) for label, (name, size) in enumerate(zip(names, sizes, strict=True))}
    return Dataset('made', names, train, {name: images(0, 0) for name in names}, False, '', faults)


def batches(dataset, config, count, fields=FIELDS, sampling='two_domains', **options):
    iterator = make_pipeline(dataset, config, fields, sampling, LATENT, **options)
    try:
        return list(itertools.islice(iterator, count))
    finally:
        iterator.close()


def shown(batches, field):
    """Returns the (domain, index) of every image, [n, 2]."""
    return np.concatenate([batch[field][:, 0, 0, :2] for batch in batches]).astype(int)


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for field in one:
            np.testing.assert_array_equal(one[field], other[field], err_msg=field)


SAMPLINGS = pytest.mark.parametrize('sampling', ['two_domains', 'class_balanced'])


@SAMPLINGS
def test_shapes_and_types(config, sampling):
    (batch,) = batches(made_dataset(5, 7), config, 1, sampling=sampling)
    kinds = {field: (values.shape, values.dtype) for field, values in batch.items()}
    image, label, latent = ((8, 8, 8, 3), np.uint8), ((8,), np.int32), ((8, LATENT), np.float32)
    assert kinds == dict(zip(FIELDS, (image, image, image, label, label, latent, latent), strict=True))
    abstract = abstract_batch(config, FIELDS, LATENT, sharding.make_mesh(jax.devices()[:1]))
    assert kinds == {field: (values.shape, values.dtype) for field, values in abstract.items()}


@SAMPLINGS
@pytest.mark.parametrize('augmentation', ['resize_crop', 'random_resized_crop'])
def test_batch_is_a_function_of_the_step(config, sampling, augmentation):
    config.data.augmentation, config.data.flip = augmentation, True
    dataset = made_dataset(5, 7)
    whole = batches(dataset, config, 9, sampling=sampling)
    assert_equal(whole, batches(made_dataset(5, 7), config, 9, sampling=sampling))
    assert_equal(whole[6:], batches(dataset, config, 3, sampling=sampling, start_step=6))
    config.data.threads, config.data.prefetch = 1, 1
    assert_equal(whole, batches(dataset, config, 9, sampling=sampling))


@SAMPLINGS
def test_another_seed_gives_other_batches(config, sampling):
    first = batches(made_dataset(50, 70), config, 3, sampling=sampling)
    config.seed = 1
    second = batches(made_dataset(50, 70), config, 3, sampling=sampling)
    for field in ('source', 'target', 'target_2', 'latent', 'latent_2'):
        assert any((one[field] != other[field]).any() for one, other in zip(first, second, strict=True))


@SAMPLINGS
def test_another_order_shows_other_images(config, sampling):
    """What a rollback goes on with."""
    first, again, other = (
        batches(made_dataset(40, 40), config, 5, sampling=sampling, order=order) for order in (1, 1, 2)
    )
    assert_equal(first, again)
    for field in ('source', 'target'):
        assert (shown(first, field) != shown(other, field)).any()


@SAMPLINGS
@pytest.mark.parametrize('processes', [2, 4])
@pytest.mark.parametrize('start_step', [0, 3])
def test_shares_of_processes_make_the_whole_batch(config, sampling, processes, start_step):
    config.data.augmentation, config.data.flip = 'resize_crop', True
    dataset = made_dataset(5, 7, 3)
    options = {'sampling': sampling, 'start_step': start_step}
    whole = batches(dataset, config, 4, **options)
    shares = [
        batches(dataset, config, 4, rows=rows, **options)
        for rows in np.split(np.arange(config.batch_size), processes)
    ]
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        merged = {field: np.concatenate([part[field] for part in parts]) for field in FIELDS}
        assert_equal([batch], [merged])


@SAMPLINGS
def test_fewer_fields_show_the_same_images(config, sampling):
    config.data.augmentation, config.data.flip = 'random_resized_crop', True
    dataset = made_dataset(5, 7)
    whole = batches(dataset, config, 3, sampling=sampling)
    for field in FIELDS:
        some = batches(dataset, config, 3, fields=(field,), sampling=sampling)
        assert_equal([{field: batch[field]} for batch in whole], some)


def test_two_domains_epochs_are_complete_and_reshuffled(config):
    config.batch_size = 1
    found = batches(made_dataset(6, 10), config, 60)
    for field, label, size in (('source', 0, 6), ('target', 1, 10), ('target_2', 1, 10)):
        images = shown(found, field)
        assert set(images[:, 0]) == {label}
        epochs = images[:, 1].reshape(-1, size)
        assert (np.sort(epochs, axis=1) == np.arange(size)).all()
        assert len({tuple(epoch) for epoch in epochs}) > 1
    assert {int(batch['source_domain'][0]) for batch in found} == {0}
    assert {int(batch['target_domain'][0]) for batch in found} == {1}


def test_two_domains_are_shuffled_independently(config):
    # With one order for both, the pairs would repeat in every epoch, and with equal keys they would be the true ones.
    found = batches(made_dataset(20, 20), config, 200)
    source, target, other = (shown(found, field)[:, 1] for field in ('source', 'target', 'target_2'))
    for first, second in ((source, target), (source, other), (target, other)):
        assert (first == second).mean() < 0.12  # 0.05 by chance
        assert len(set(zip(first, second, strict=True))) > 300  # of 400


def test_two_domains_take_the_first_two_of_many(config):
    found = batches(made_dataset(4, 4, 4), config, 10)
    assert set(shown(found, 'source')[:, 0]) == {0}
    assert set(shown(found, 'target')[:, 0]) == {1}


def test_classes_are_balanced_whatever_their_size(config):
    found = batches(made_dataset(3, 200, 30), config, 250, sampling='class_balanced')
    for field in ('source', 'target'):
        labels = np.concatenate([batch[f'{field}_domain'] for batch in found])
        np.testing.assert_array_equal(shown(found, field)[:, 0], labels)
        shares = np.bincount(labels, minlength=3) / len(labels)
        assert abs(shares - 1 / 3).max() < 0.04  # 4 standard deviations
    source, target = (
        np.concatenate([batch[f'{name}_domain'] for batch in found]) for name in ('source', 'target')
    )
    pairs = np.bincount(source * 3 + target, minlength=9) / len(source)
    assert abs(pairs - 1 / 9).max() < 0.03


def test_other_domains_are_balanced_and_never_the_own(config):
    found = batches(made_dataset(3, 200, 30), config, 250, sampling='other_domain')
    source, target = (
        np.concatenate([batch[f'{name}_domain'] for batch in found]) for name in ('source', 'target')
    )
    np.testing.assert_array_equal(shown(found, 'target')[:, 0], target)
    pairs = np.bincount(source * 3 + target, minlength=9).reshape(3, 3) / len(source)
    assert not pairs.diagonal().any()
    assert abs(pairs[~np.eye(3, dtype=bool)] - 1 / 6).max() < 0.04  # 3.4 standard deviations


def test_class_balanced_reaches_every_image(config):
    images = shown(batches(made_dataset(3, 40), config, 100, sampling='class_balanced'), 'source')
    assert {(int(label), int(index)) for label, index in images} == {
        *((0, index) for index in range(3)),
        *((1, index) for index in range(40)),
    }


def test_references_are_two_images_of_one_domain(config):
    found = batches(made_dataset(2, 9, 5), config, 100, sampling='class_balanced')
    first, second = shown(found, 'target'), shown(found, 'target_2')
    labels = np.concatenate([batch['target_domain'] for batch in found])
    np.testing.assert_array_equal(first[:, 0], labels)
    np.testing.assert_array_equal(second[:, 0], labels)
    assert (first[:, 1] != second[:, 1]).all()
    in_large = labels == 1
    pairs = {tuple(pair) for pair in np.stack([first[in_large, 1], second[in_large, 1]], 1).tolist()}
    assert len(pairs) > 65  # of 72: the second is not tied to the first


def test_a_domain_of_one_image_is_its_own_reference(config):
    found = batches(made_dataset(1, 1), config, 5, sampling='class_balanced')
    np.testing.assert_array_equal(shown(found, 'target'), shown(found, 'target_2'))


@pytest.mark.parametrize('other', ['target_2', 'source'])
def test_images_of_a_sample_are_augmented_independently(config, other):
    config.data.augmentation, config.image_size, config.data.resize_ratio = 'resize_crop', 8, 12 / 8
    rows, columns = np.mgrid[:12, :12]
    picture = np.stack([columns, rows, rows], -1).astype(np.uint8)
    dataset = made_dataset(1, 1)
    for name in dataset.domains:
        dataset.train[name] = Images(['one'], lambda index: picture, dataset.faults, MemoryBudget())
    found = batches(dataset, config, 50, sampling='class_balanced')
    places = {
        field: np.concatenate([batch[field][:, 0, 0, :2] for batch in found]) for field in ('target', other)
    }
    assert 0.01 < (places['target'] == places[other]).all(-1).mean() < 0.1  # 1/25 by chance


@SAMPLINGS
def test_latents_are_normal_and_independent(config, sampling):
    found = batches(made_dataset(5, 5), config, 300, fields=('latent', 'latent_2'), sampling=sampling)
    values = np.concatenate([np.concatenate([batch['latent'], batch['latent_2']], 1) for batch in found])
    assert abs(values.mean(0)).max() < 0.1
    assert abs(values.std(0) - 1).max() < 0.1
    correlation = np.corrcoef(values.T) - np.eye(2 * LATENT)
    assert abs(correlation).max() < 0.1
    assert len(np.unique(values, axis=0)) == len(values)


@SAMPLINGS
def test_global_arrays_hold_the_same_values(config, sampling):
    mesh = sharding.make_mesh(fsdp=2, spatial=2)
    found = batches(made_dataset(5, 7), config, 3, sampling=sampling, mesh=mesh, start_step=2)
    for batch in found:
        parts = {field: values.addressable_shards[0].data.shape for field, values in batch.items()}
        assert parts['source'] == (4, 4, 8, 3)
        assert parts['latent'] == (4, LATENT)
    expected = batches(made_dataset(5, 7), config, 3, sampling=sampling, start_step=2)
    assert_equal([jax.device_get(batch) for batch in found], expected)


@SAMPLINGS
def test_unreadable_images_are_replaced_by_the_next(config, sampling):
    dataset = made_dataset(6, 6, unreadable={(0, 2), (0, 3), (1, 5)})
    found = batches(dataset, config, 40, sampling=sampling)
    sound = batches(made_dataset(6, 6), config, 40, sampling=sampling)
    stand_in = {(0, 2): (0, 4), (0, 3): (0, 4), (1, 5): (1, 0)}
    for field in ('source', 'target', 'target_2'):
        expected = [stand_in.get(image, image) for image in map(tuple, shown(sound, field).tolist())]
        np.testing.assert_array_equal(shown(found, field), expected)
    assert dataset.faults.names == ('0/2', '0/3', '1/5')
    assert dataset.faults.count == 3


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'fields': ('source', 'image')}, "'image'.*source, target"),
        ({'fields': ('source', 'paired')}, "'paired' needs the sampling 'paired', not 'two_domains'"),
        ({'sampling': 'random'}, "'random'.*two_domains, class_balanced"),
        ({'sizes': (5,)}, 'two domains are needed, made has 1'),
        ({'sizes': (5,), 'sampling': 'other_domain'}, 'two domains are needed, made has 1'),
        ({'sizes': (5, 0)}, "'b' of made has no training images"),
    ],
)
def test_wrong_values_are_named(config, options, text):
    options = dict(options)
    dataset = made_dataset(*options.pop('sizes', (5, 5)))
    with pytest.raises(ValueError, match=text):
        batches(dataset, config, 1, **options)


def test_latents_need_a_size(config):
    with pytest.raises(ValueError, match="'latent' needs a latent size, not 0"):
        make_pipeline(made_dataset(5, 5), config, ('latent',), 'two_domains')
