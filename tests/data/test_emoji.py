import numpy as np
import pytest

from gan_transfer.data import emoji
from gan_transfer.data.artwork import is_test, share

SIZE = 64
SOME = ('1f600', '1f34e', '2764', '1f697', '1f431', '1f3e0', '23-20e3', '1f468-200d-1f373', '1f321', '2712')


@pytest.fixture(scope='module')
def drawings():
    return {key: emoji.render(key, SIZE) for key in SOME}


@pytest.fixture(scope='module')
def all_keys():
    return emoji.keys()


def test_keys_are_what_both_vendors_have(all_keys):
    assert len(all_keys) == 1655
    assert all_keys == sorted(set(all_keys))
    assert set(SOME) <= set(all_keys)


@pytest.mark.parametrize(
    'left_out', ['1f44d-1f3fd', '1f1e9-1f1ea', '1f3f4-e0067-e0062-e0065-e006e-e0067-e007f', '1f1e6']
)
def test_no_skin_tones_and_no_flags(all_keys, left_out):
    assert left_out not in all_keys
    assert left_out.split('-')[-1] not in {point for key in all_keys for point in key.split('-')}


def test_no_line_drawing_is_blank(all_keys):
    assert '1f195' not in all_keys  # has an empty line layer
    for key in all_keys[::25]:
        assert emoji.render(key, 24)['openmoji_line'].min() < 150


def test_no_key_has_a_variation_selector_or_leading_zeros(all_keys):
    points = {point for key in all_keys for point in key.split('-')}
    assert 'fe0f' not in points
    assert not any(point.startswith('0') for point in points)


@pytest.mark.parametrize('domains', [2, 3])
def test_shares_are_about_equal(all_keys, domains):
    train = [key for key in all_keys if not is_test(key)]
    counts = np.bincount([share(key, domains) for key in train], minlength=domains)
    assert counts.min() > 0.9 * len(train) / domains
    assert 0.17 < 1 - len(train) / len(all_keys) < 0.23


def ink_box(image):
    rows, columns = (np.flatnonzero((image < 250).any(axis=(axis, 2))) for axis in (1, 0))
    return rows[0], SIZE - 1 - rows[-1], columns[0], SIZE - 1 - columns[-1]


@pytest.mark.parametrize('key', SOME)
@pytest.mark.parametrize('domain', ['twemoji', 'openmoji'])
def test_ink_is_centred_and_fills_the_square(drawings, key, domain):
    image = drawings[key][domain]
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.uint8
    top, bottom, left, right = ink_box(image)
    assert abs(top - bottom) <= 1
    assert abs(left - right) <= 1
    # 4 % of the drawing is 2.4 px of these 64.
    assert 1 <= min(top, left) <= 3


@pytest.mark.parametrize('key', SOME)
def test_line_drawing_lies_on_the_coloured_one(drawings, key):
    line, coloured = (drawings[key][domain].astype(int) for domain in ('openmoji_line', 'openmoji'))
    ink = line.max(-1) < 40
    assert 0.01 < ink.mean() < 0.5
    assert (coloured.max(-1)[ink] < 90).mean() > 0.98
    assert abs(line - line.mean(-1, keepdims=True)).max() < 30  # black and white
    if key != '23-20e3':
        assert abs(line - coloured).mean() > 2  # the colour is gone


def test_domains_differ(drawings):
    for images in drawings.values():
        assert abs(images['twemoji'].astype(int) - images['openmoji']).mean() > 5


def test_lines_are_sharp_at_any_size():
    # An enlarged small drawing would be grey at every edge.
    image = emoji.render('1f600', 256)['openmoji_line']
    assert ((image > 40) & (image < 215)).mean() < 0.03
    assert (image <= 40).mean() > 0.05


def test_drawn_the_same_each_time():
    first, second = emoji.render('1f697', 32), emoji.render('1f697', 32)
    for domain in emoji.DOMAINS:
        np.testing.assert_array_equal(first[domain], second[domain])
