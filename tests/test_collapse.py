"""Signs of collapse: which numbers and pictures are warned of, and how often."""

import numpy as np
import pytest

from gan_transfer.collapse import STUCK, CollapseWatch, diversities, sign_accuracies
from gan_transfer.pictures import Samples

SIGNS = {
    'discriminator/real_sign_a': 1.0,
    'discriminator/fake_sign_a': -1.0,
    'discriminator/real_sign_b': 0.5,
    'discriminator/fake_sign_b': 0.0,
    'generator/adversarial': 3.0,
}


def images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 4, 4, 3), np.uint8)


def grid(translated, domains=(0, 0, 0)):
    """Samples of 4 sources by 3 target images, and `translated` [4, 3, ...] as it comes from a translator."""
    batch = {'target_domain': np.tile(domains, 4)}
    samples = Samples(batch, images(4), images(3, seed=1), None)
    return samples, np.broadcast_to(translated, (4, 3, 4, 4, 3)).reshape(12, 4, 4, 3)


def test_accuracy_is_the_share_of_right_signs():
    assert sign_accuracies(SIGNS) == {'discriminator/sign_a': 1.0, 'discriminator/sign_b': 0.625}


@pytest.mark.parametrize(
    ('translated', 'domains', 'alike'),
    [
        (images(4, 3), (0, 0, 0), set()),
        (images(4, 1), (0, 0, 0), {'target images'}),
        (images(1, 3), (0, 0, 0), {'sources'}),
        (images(1, 1), (0, 0, 0), {'sources', 'target images'}),
        # One style for each domain is a collapse, though the domains differ.
        (images(4, 2)[:, [0, 1, 0]], (0, 1, 0), {'target images'}),
    ],
)
def test_which_translations_are_alike(translated, domains, alike):
    found = diversities(*grid(translated, domains))
    assert set(found) == {'sources', 'target images'}
    assert {name for name, share in found.items() if share < 0.02} == alike


def test_without_target_images_each_direction_is_looked_at_alone():
    """Both directions give one image each: the two differ, and no source has a say."""
    batch = {'target_domain': np.array([1, 0, 1, 0])}
    samples = Samples(batch, images(4), None, None)
    assert diversities(samples, images(2)[[1, 0, 1, 0]]) == {'sources': 0.0}
    assert diversities(samples, images(4, seed=2))['sources'] > 0.5
    one = Samples({}, images(1), None, None)
    assert diversities(one, images(1)) == {}


def test_a_collapse_of_one_direction_is_seen():
    samples = Samples({'target_domain': np.array([1, 0, 1, 0])}, images(4), None, None)
    assert diversities(samples, images(4, seed=2)[[0, 1, 0, 3]]) == {'sources': 0.0}


def test_a_warning_is_told_once_for_as_long_as_it_lasts():
    watch = CollapseWatch()
    told = [watch.logged(SIGNS) for _ in range(STUCK + 3)]
    assert [len(warnings) for warnings in told] == [0] * (STUCK - 1) + [1, 0, 0, 0]
    assert told[STUCK - 1][0].startswith('discriminator/sign_a: ')
    assert watch.logged({**SIGNS, 'discriminator/real_sign_a': 0.9}) == []
    assert sum(len(watch.logged(SIGNS)) for _ in range(STUCK)) == 1

    (warning,) = watch.sampled(*grid(images(1, 3)))
    assert 'hardly depend on their sources: they differ by 0.00%' in warning
    assert watch.sampled(*grid(images(1, 3))) == []
    assert watch.sampled(*grid(images(4, 3))) == []
    assert len(watch.sampled(*grid(images(1, 3)))) == 1


def test_latent_codes_without_a_say_are_told_once():
    watch = CollapseWatch()
    alike, apart = ({'generator_latent/diversity': value} for value in (0.001, 0.1))
    found = [watch.logged(scalars) for scalars in [alike] * (STUCK - 1) + [apart] + [alike] * (STUCK + 3)]
    assert [bool(warnings) for warnings in found].count(True) == 1
    assert 'two latent codes' in found[2 * STUCK - 1][0]


@pytest.mark.parametrize('noise', [0, 1])
@pytest.mark.parametrize('translated', [np.repeat(images(1, seed=1), 4, 0), images(4, seed=1)])
def test_sources_that_are_all_nearly_one_image_say_nothing(noise, translated):
    same = np.repeat(images(1), 4, 0)
    same[0, 0, 0, 0] ^= noise
    assert diversities(Samples({}, same, None, None), translated) == {}
