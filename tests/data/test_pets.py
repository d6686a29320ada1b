import dataclasses
import hashlib

import numpy as np
import pytest

from configs import common
from gan_transfer import data
from gan_transfer.data import artwork, pets, pets_drawing
from gan_transfer.data.pets_drawing import Content, Style
from gan_transfer.errors import UserError

SIZE = 64
KEYS = pets.keys(300)
CONTENT = Content(0.0, 0.08, 0.85, 0.0, 'neutral', 'centre', 'yellow')
STYLE = Style('cat', '#9a6234', '#fdf6ee', 'plain', 'upright', 'thin')
OTHERS = {
    'x': (-0.1, 0.1),
    'y': (0.02, 0.14),
    'size': (0.7, 1.0),
    'tilt': (-20.0, 20.0),
    'expression': pets_drawing.EXPRESSIONS[1:],
    'gaze': tuple(pets_drawing.GAZES)[1:],
    'background': ('mint', 'dots', 'stripes', 'meadow', 'night'),
    'species': ('dog', 'rabbit'),
    'fur': ('#e8963c', '#45424c'),
    'second': ('#4a2f25', '#a9adb5'),
    'pattern': pets_drawing.PATTERNS[1:],
    'ears': pets_drawing.EAR_FORMS[1:],
    'outline': ('none', 'thick'),
}


def changed(name, value):
    on_content = name in {field.name for field in dataclasses.fields(Content)}
    content = dataclasses.replace(CONTENT, **{name: value}) if on_content else CONTENT
    return content, STYLE if on_content else dataclasses.replace(STYLE, **{name: value})


def drawn(key, domain, size=SIZE):
    return pets_drawing.draw(pets.content(key), pets.style(key, domain), size)


# A change here would give every pet another look: raise the version of the artwork with it.
def test_the_pets_are_always_the_same():
    text = repr([pets.factors(key, domain) for key in KEYS[:20] for domain in pets.DOMAINS])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == 'db257cea1d29879f'
    pixels = b''.join(drawn(key, domain).tobytes() for key in KEYS[:3] for domain in pets.DOMAINS)
    assert hashlib.sha256(pixels).hexdigest()[:16] == 'de6ec5741d73607c'


@pytest.mark.parametrize('name', OTHERS)
def test_every_factor_is_seen_and_told_from_its_other_values(name):
    pictures = [pets_drawing.draw(CONTENT, STYLE, SIZE)]
    pictures += [pets_drawing.draw(*changed(name, value), SIZE) for value in OTHERS[name]]
    for i, first in enumerate(pictures):
        for second in pictures[:i]:
            difference = abs(first.astype(int) - second).max(-1)
            assert (difference > 40).sum() >= 12, f'{name}: too few of {SIZE**2} pixels differ'


def test_all_factors_are_tried():
    assert set(OTHERS) == set(pets.factors('000000', 'cat'))
    assert len(OTHERS) == len(dataclasses.fields(Content)) + len(dataclasses.fields(Style))


@pytest.mark.parametrize('background', pets_drawing.BACKGROUNDS)
def test_no_style_reaches_the_corners(background):
    content = Content(0.12, 0.1, 1.0, 25.0, 'happy', 'up', background)
    pictures = [
        pets_drawing.draw(
            content, dataclasses.replace(STYLE, species=species, ears=ears, outline='thick'), 50
        )
        for species in pets_drawing.SPECIES
        for ears in pets_drawing.EAR_FORMS
    ]
    for rows in (slice(0, 3), slice(-3, None)):
        for columns in (slice(0, 3), slice(-3, None)):
            corners = np.stack([picture[rows, columns] for picture in pictures])
            assert (corners == corners[0]).all()


def test_content_and_style_are_drawn_independently():
    contents, styles = (
        [pets.content(key) for key in KEYS],
        [pets.style(key, 'dog') for key in KEYS],
    )
    for name in ('expression', 'gaze', 'background'):
        counts = np.unique([getattr(content, name) for content in contents], return_counts=True)[1]
        assert counts.min() > 0.6 * counts.mean()
        for style_name in ('pattern', 'ears', 'outline'):
            pairs = [
                (getattr(a, name), getattr(b, style_name)) for a, b in zip(contents, styles, strict=True)
            ]
            together = np.unique(pairs, axis=0, return_counts=True)[1]
            assert together.min() > 0.2 * together.mean()
    tilts = np.array([content.tilt for content in contents])
    assert tilts.min() < -22
    assert tilts.max() > 22
    dark = np.array([pets_drawing.luminance(style.fur) for style in styles])
    for name in ('x', 'y', 'size', 'tilt'):
        values = [getattr(content, name) for content in contents]
        assert abs(np.corrcoef(values, dark)[0, 1]) < 0.2


def test_every_domain_has_the_content_of_the_key_and_a_style_of_its_own():
    factors = [pets.factors('000007', domain) for domain in pets.DOMAINS]
    content = dataclasses.asdict(pets.content('000007'))
    assert all(content.items() <= each.items() for each in factors)
    assert len({each['fur'] for each in factors}) == len(pets.DOMAINS)


def test_colours_of_a_pet_differ():
    for key in KEYS:
        style = pets.style(key, 'cat')
        assert pets.difference(style.fur, style.second) > 0.15


def test_truth_is_the_content_of_one_in_the_style_of_the_other():
    np.testing.assert_array_equal(pets.truth('000001', '000001', 'dog', SIZE), drawn('000001', 'dog'))
    truth = pets.truth('000001', '000002', 'rabbit', SIZE)
    for key in ('000001', '000002'):
        assert abs(truth.astype(int) - drawn(key, 'rabbit')).mean() > 5
    expected = pets_drawing.draw(pets.content('000001'), pets.style('000002', 'rabbit'), SIZE)
    np.testing.assert_array_equal(truth, expected)


def test_sharp_at_any_size():
    small, large = drawn('000003', 'cat', 32), drawn('000003', 'cat', 128)
    assert large.shape == (128, 128, 3)
    averaged = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert abs(averaged - small).mean() < 4


def test_more_pets_begin_with_the_same_ones():
    assert pets.keys(3000)[:1000] == pets.keys(1000)
    for count in (100, 3000):
        keys = pets.keys(count)
        assert keys == sorted(set(keys))
        assert len(keys) == count


@pytest.mark.parametrize('domains', [2, 3])
def test_the_fewest_pets_are_enough_for_every_set(domains):
    keys = pets.keys(pets.SMALLEST)
    assert {artwork.share(key, domains) for key in keys if not artwork.is_test(key)} == set(range(domains))
    assert any(map(artwork.is_test, keys))


@pytest.mark.parametrize('count', [0, 99, 1_000_001])
def test_a_bad_count_is_one_line(config, count):
    config.data.source, config.data.count = 'pets', count
    line = f'data.count is {count}; it must be from 100 to 1000000'
    with pytest.raises(UserError, match=line):
        common.validate(config)
    with pytest.raises(ValueError, match=line):
        data.open_dataset(config)


def test_unknown_species_names_the_choices():
    with pytest.raises(ValueError, match="unknown species 'fox'; there are cat, dog, rabbit"):
        pets.style('000000', 'fox')


def test_pets_end_to_end(config, capsys):
    config.data.source, config.data.count, config.image_size = 'pets', 100, 24
    common.validate(config)
    data.prepare(config)
    printed = capsys.readouterr().out
    assert 'pets_24px' in printed
    assert 'first100' in printed
    dataset = data.open_dataset(config)
    assert dataset.domains == pets.DOMAINS
    train = {domain: set(dataset.train[domain].keys) for domain in dataset.domains}
    test = set(dataset.test['cat'].keys)
    assert len(set().union(*train.values())) == sum(map(len, train.values())) == 100 - len(test)
    assert not test & set().union(*train.values())
    assert dataset.paired_test
    for domain in dataset.domains:
        example = dataset.test[domain][0]
        np.testing.assert_array_equal(dataset.truth(example.key, example.key, domain), example.image)
        assert dataset.factors(example.key, domain)['species'] == domain


def test_another_count_is_another_preparation():
    names = {artwork.folder_name(pets.artwork(count), 64) for count in (100, 200)}
    assert len(names) == 2
