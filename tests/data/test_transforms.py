import numpy as np
import PIL.Image
import pytest

from gan_transfer.data.transforms import make_augmentation, random_area_crop, random_crop, resize


def gradient(height, width):
    """Red is the column, green the row, blue constant: every pixel tells where it came from."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.full((height, width), 7)], -1).astype(np.uint8)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize('interpolation', ['cubic', 'linear'])
@pytest.mark.parametrize('size', [(5, 9), (64, 64), (100, 40), (150, 120)])
def test_resize_gives_size_and_keeps_colour(size, interpolation):
    image = np.full((64, 64, 3), (10, 130, 250), np.uint8)
    resized = resize(image, size, interpolation)
    assert resized.shape == (*size, 3)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, np.broadcast_to((10, 130, 250), resized.shape))


def test_resize_to_the_same_size_changes_nothing():
    image = noise(16, 16)
    np.testing.assert_array_equal(resize(image, (16, 16)), image)


def test_shrinking_is_antialiased():
    # One-pixel stripes: without antialiasing, samples would hit black or white.
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 255
    resized = resize(image, (16, 16))[:, 2:-2].astype(int)
    assert abs(resized - 127.5).max() < 15


def test_shrinking_is_pillows():
    image = noise(40, 40)
    expected = np.asarray(PIL.Image.fromarray(image).resize((20, 25), PIL.Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize(image, (25, 20)), expected)


def test_enlarging_keeps_orientation():
    resized = resize(gradient(16, 16), (32, 32)).astype(int)
    assert (np.diff(resized[16, :, 0]) >= 0).all()
    assert (np.diff(resized[:, 16, 1]) >= 0).all()
    assert resized[0, -1, 0] >= 14
    assert resized[-1, 0, 1] >= 14


def test_random_crop_reaches_every_place():
    places = set()
    for seed in range(300):
        crop = random_crop(gradient(10, 11), 8, np.random.default_rng(seed))
        assert crop.shape == (8, 8, 3)
        np.testing.assert_array_equal(crop - crop[0, 0], gradient(8, 8) - (0, 0, 7))
        places.add((int(crop[0, 0, 1]), int(crop[0, 0, 0])))
    assert places == {(top, left) for top in range(3) for left in range(4)}


def test_random_area_crop_has_the_asked_areas_and_aspects():
    rng = np.random.default_rng(0)
    crops = [
        random_area_crop(np.zeros((200, 200, 3), np.uint8), (0.8, 1.0), (0.9, 1.1), rng) for _ in range(500)
    ]
    areas = np.array([crop.shape[0] * crop.shape[1] / 40000 for crop in crops])
    aspects = np.array([crop.shape[1] / crop.shape[0] for crop in crops])
    assert 0.79 < areas.min() < 0.82
    assert 0.97 < areas.max() <= 1.0
    assert 0.89 < aspects.min() < 0.93
    assert 1.07 < aspects.max() < 1.11


def test_the_aspect_is_log_uniform():
    rng, image = np.random.default_rng(0), np.zeros((400, 400, 3), np.uint8)
    crops = [random_area_crop(image, (0.1, 0.1), (0.25, 4.0), rng) for _ in range(500)]
    aspects = np.array([crop.shape[1] / crop.shape[0] for crop in crops])
    assert 0.8 < np.median(aspects) < 1.25


@pytest.mark.parametrize(('shape', 'expected'), [((10, 100), (10, 11)), ((100, 10), (11, 10))])
def test_random_area_crop_falls_back_to_the_centre(shape, expected):
    # No crop of 90 % of so long an image has an aspect near 1.
    crop = random_area_crop(gradient(*shape), (0.9, 1.0), (0.9, 1.1), np.random.default_rng(0))
    assert crop.shape[:2] == expected
    assert crop[0, 0, :2].max() in (44, 45)


@pytest.mark.parametrize(('aspect', 'expected'), [(1000.0, (1, 8)), (0.001, (8, 1))])
def test_an_extreme_aspect_still_gives_pixels(aspect, expected):
    crop = random_area_crop(gradient(8, 8), (0.9, 1.0), (aspect, aspect), np.random.default_rng(0))
    assert crop.shape[:2] == expected


@pytest.mark.parametrize('name', ['resize_crop', 'random_resized_crop', 'none'])
@pytest.mark.parametrize('shape', [(8, 8), (5, 30), (64, 48)])
def test_augmentation_gives_the_size(config, name, shape):
    config.data.augmentation, config.image_size = name, 16
    image = make_augmentation(config)(noise(*shape), np.random.default_rng(0))
    assert image.shape == (16, 16, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize('ratio', [20 / 16, 19.6 / 16])
def test_resize_crop_is_a_crop_of_the_enlarged_image(config, ratio):
    config.data.augmentation, config.image_size, config.data.resize_ratio = 'resize_crop', 16, ratio
    image = noise(16, 16)
    enlarged = resize(image, (20, 20))
    found = set()
    for seed in range(100):
        crop = make_augmentation(config)(image, np.random.default_rng(seed))
        places = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if np.array_equal(enlarged[top : top + 16, left : left + 16], crop)
        ]
        assert places
        found.update(places)
    assert len(found) == 25


@pytest.mark.parametrize('shape', [(8, 8), (40, 40)])
def test_random_resized_crop_stretches_linearly(config, shape):
    config.data.augmentation, config.image_size, config.data.crop_probability = 'random_resized_crop', 16, 0.0
    image = noise(*shape)
    augmented = make_augmentation(config)(image, np.random.default_rng(0))
    np.testing.assert_array_equal(augmented, resize(image, (16, 16), 'linear'))


@pytest.mark.parametrize('probability', [0.0, 0.5, 1.0])
def test_crop_probability(config, probability):
    config.data.augmentation, config.image_size = 'random_resized_crop', 32
    config.data.crop_probability, config.data.crop_scale = probability, (0.5, 0.8)
    image, augment = noise(32, 32), make_augmentation(config)
    same = [np.array_equal(augment(image, np.random.default_rng(seed)), image) for seed in range(400)]
    assert abs(np.mean(same) - (1 - probability)) < 0.1


@pytest.mark.parametrize('name', ['resize_crop', 'random_resized_crop', 'none'])
def test_half_of_the_images_are_mirrored(config, name):
    config.data.augmentation, config.data.flip, config.image_size = name, True, 16
    augment = make_augmentation(config)
    images = [augment(gradient(16, 16), np.random.default_rng(seed)).astype(int) for seed in range(400)]
    mirrored = np.mean([image[8, 0, 0] > image[8, -1, 0] for image in images])
    assert 0.4 < mirrored < 0.6
    assert all(image[0, 8, 1] < image[-1, 8, 1] for image in images)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'augmentation': 'rotate'}, "'rotate'.*resize_crop, random_resized_crop or none"),
        ({'augmentation': 'resize_crop', 'resize_ratio': 0.5}, 'resize_ratio=0.5'),
    ],
)
def test_wrong_values_are_named(config, changes, text):
    config.data.update(changes)
    with pytest.raises(ValueError, match=text):
        make_augmentation(config)
