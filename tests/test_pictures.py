"""Sample grids: what they show and where."""

import types

import numpy as np
import pytest

from gan_transfer import pictures

SIZE = 4


class Images:
    """Images whose every value is 100 * domain + index."""

    def __init__(self, domain, length):
        self.domain, self.length = domain, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        assert 0 <= index < self.length
        return types.SimpleNamespace(image=np.full((SIZE, SIZE, 3), 100 * self.domain + index, np.uint8))


@pytest.fixture
def dataset():
    return types.SimpleNamespace(
        domains=('a', 'b'),
        train={'a': Images(0, 30), 'b': Images(1, 30)},
        test={'a': Images(0, 20), 'b': Images(1, 20)},
        paired_test=True,
    )


@pytest.fixture
def config():
    return types.SimpleNamespace(seed=0, sample_rows=4, sample_columns=3)


def choose(dataset, fields, config, directions=((0, 1), (1, 0))):
    return pictures.choose_samples(dataset, fields, directions, lambda example: example.image, config)


def domain_and_index(images):
    values = images[:, 0, 0, 0].astype(int)
    return list(zip(values // 100, values % 100, strict=True))


@pytest.mark.parametrize('length', [20, 6, 5])
def test_targets_across_and_never_the_truth(dataset, config, length):
    for images in dataset.test.values():
        images.length = length
    samples = choose(dataset, ('source', 'target', 'target_domain'), config)
    sources, targets = domain_and_index(samples.sources), domain_and_index(samples.targets)
    assert [domain for domain, _ in sources] == [0, 1, 0, 1]
    assert [domain for domain, _ in targets] == [0, 1, 0]
    assert not {index for _, index in sources} & {index for _, index in targets}
    assert set(samples.batch) == {'source', 'target', 'target_domain'}
    assert domain_and_index(samples.batch['target'])[:3] == targets
    assert list(samples.batch['target_domain']) == [0, 1, 0] * 4

    grid = pictures.draw(samples, samples.batch['source'] // 2 + samples.batch['target'] // 2)
    step = SIZE + pictures.GAP
    assert grid.shape == (5 * step - pictures.GAP, 4 * step - pictures.GAP, 3)
    assert (grid[:SIZE, :SIZE] == 255).all()
    np.testing.assert_array_equal(grid[step : step + SIZE, :SIZE], samples.sources[0])
    np.testing.assert_array_equal(grid[:SIZE, 2 * step : 2 * step + SIZE], samples.targets[1])
    expected = samples.sources[3] // 2 + samples.targets[1] // 2
    np.testing.assert_array_equal(grid[4 * step : 4 * step + SIZE, 2 * step : 2 * step + SIZE], expected)


def test_sources_and_targets_are_of_the_domains_that_are_translated(dataset, config):
    samples = choose(dataset, ('source', 'target', 'target_domain'), config, directions=((1, 0),))
    assert {domain for domain, _ in domain_and_index(samples.sources)} == {1}
    assert {domain for domain, _ in domain_and_index(samples.targets)} == {0}
    assert set(samples.batch['target_domain'].tolist()) == {0}


def test_without_target_images_the_truth_is_shown(dataset, config):
    samples = choose(dataset, ('source', 'target_domain'), config)
    for (domain, index), (other, truth) in zip(
        domain_and_index(samples.sources), domain_and_index(samples.truths), strict=True
    ):
        assert other == 1 - domain
        assert truth == index
    assert list(samples.batch['target_domain']) == [1, 0, 1, 0]
    dataset.paired_test = False
    assert choose(dataset, ('source', 'target_domain'), config).truths is None


def test_the_same_every_time_and_other_with_another_seed(dataset, config):
    first, again = (choose(dataset, ('source', 'target'), config) for _ in range(2))
    np.testing.assert_array_equal(first.sources, again.sources)
    config.seed = 1
    assert (choose(dataset, ('source', 'target'), config).sources != first.sources).any()


def test_training_images_stand_in_for_missing_test_images(dataset, config):
    dataset.test, dataset.paired_test = {'a': [], 'b': Images(1, 2)}, False
    samples = choose(dataset, ('source', 'target'), config)
    assert len(samples.sources) == 4


def test_small_images_are_magnified_and_large_ones_left():
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    large = pictures.magnify(picture, 32)
    assert large.shape == (6, 9, 3)
    np.testing.assert_array_equal(large[::3, ::3], picture)
    np.testing.assert_array_equal(large[2::3, 2::3], picture)
    np.testing.assert_array_equal(pictures.magnify(picture, 256), picture)
