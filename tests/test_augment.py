"""Differentiable augmentation: what each kind does to images, to gradients, and who is shown it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import augment as augment_lib
from gan_transfer.augment import KINDS, augment
from gan_transfer.methods import METHODS
from gan_transfer.methods.feature_game import FeatureMethod
from tests.tiny import BATCH, SIZE, every_method, make_batch, make_experiment, phase_input

SAMPLES = 400


def keys(count=SAMPLES, seed=0):
    return jax.vmap(lambda slot: jax.random.fold_in(jax.random.key(seed), slot))(jnp.arange(count))


def drawn(*shape, seed=0):
    """Images without a zero."""
    return np.random.default_rng(seed).uniform(0.1, 1, shape).astype(np.float32)


def test_translation_moves_by_an_eighth_at_most_each_way_and_leaves_grey():
    image = drawn(16, 24, 3)
    padded = np.pad(image, ((2, 2), (3, 3), (0, 0)))
    windows = {(y, x): padded[y : y + 16, x : x + 24] for y in range(5) for x in range(7)}
    found = set()
    for moved in np.asarray(augment(jnp.tile(image, (SAMPLES, 1, 1, 1)), ('translation',), keys())):
        matching = [place for place, window in windows.items() if (window == moved).all()]
        assert len(matching) == 1
        found |= {*matching}
    assert found == set(windows)


def test_cutout_leaves_a_hole_of_half_the_size_wherever_it_lies():
    image = drawn(8, 10, 3)
    rows, columns = set(), set()
    for cut in np.asarray(augment(jnp.tile(image, (SAMPLES, 1, 1, 1)), ('cutout',), keys())):
        hole = (cut == 0).all(-1)
        np.testing.assert_array_equal(cut[~hole], image[~hole])
        ys, xs = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
        assert hole[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1].all()
        rows.add((ys[0], ys[-1]))
        columns.add((xs[0], xs[-1]))
    # By the middle: from half of the hole beyond one border to half of it beyond the other.
    assert rows == {(max(y, 0), min(y + 3, 7)) for y in range(-2, 7)}
    assert columns == {(max(x, 0), min(x + 4, 9)) for x in range(-2, 8)}


def test_color_changes_brightness_saturation_and_contrast_of_the_whole_image():
    image = drawn(6, 6, 3)
    changed = np.asarray(augment(jnp.tile(image, (SAMPLES, 1, 1, 1)), ('color',), keys()))
    grey, greys = image.mean(-1), changed.mean(-1)
    # Grey values go around their mean by the contrast, colours around grey by contrast and saturation.
    contrast = (greys - greys.mean((1, 2), keepdims=True))[:, 0, 0] / (grey - grey.mean())[0, 0]
    both = (changed - greys[..., None])[:, 0, 0, 0] / (image - grey[..., None])[0, 0, 0]
    brightness = greys.mean((1, 2)) - grey.mean()
    expected = brightness[:, None, None, None] + grey.mean()
    expected = expected + contrast[:, None, None, None] * (grey - grey.mean())[..., None]
    expected = expected + both[:, None, None, None] * (image - grey[..., None])
    np.testing.assert_allclose(changed, expected, atol=1e-4)
    for values, (low, high) in (
        (brightness, augment_lib.BRIGHTNESS),
        (contrast, augment_lib.CONTRAST),
        (both / contrast, augment_lib.SATURATION),
    ):
        assert low - 1e-3 <= values.min() < low + 0.05
        assert high - 0.05 < values.max() <= high + 1e-3


@pytest.mark.parametrize('kind', KINDS)
def test_each_sample_has_numbers_of_its_own_that_are_the_same_in_another_batch(kind):
    images = jnp.tile(drawn(16, 16, 3), (4, 1, 1, 1))
    changed = np.asarray(augment(images, (kind,), keys(4)))
    assert len({image.tobytes() for image in changed}) == 4
    np.testing.assert_allclose(augment(images[2:], (kind,), keys(4)[2:]), changed[2:], atol=1e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_the_images_of_a_pair_are_changed_alike(kind):
    first, second = (drawn(4, 16, 16, 3, seed=seed) for seed in (0, 1))
    pair = augment(jnp.concatenate([first, second], -1), (kind,), keys(4))
    for alone, part in zip((first, second), jnp.split(pair, 2, -1), strict=True):
        expected = augment(jnp.asarray(alone), (kind,), keys(4))
        if kind == 'color':  # contrast goes around the mean of both
            shifted = [x - x.mean((1, 2, 3), keepdims=True) for x in (part, expected)]
            np.testing.assert_allclose(*shifted, atol=1e-5)
        else:
            np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize('kind', KINDS)
def test_gradients_go_back_to_the_pixels_that_were_shown(kind):
    """Every kind is affine in the image, so that its derivative is exact in differences of any length."""
    image, towards, weights = (jnp.asarray(drawn(1, 8, 8, 3, seed=seed)) for seed in range(3))

    def loss(x):
        return (weights * augment(x, (kind,), keys(1))).sum()

    slope = (jax.grad(loss)(image) * towards).sum()
    assert float(slope) == pytest.approx(float(loss(image + towards) - loss(image)), rel=1e-3)
    assert abs(float(slope)) > 0.1


@every_method
def test_discriminators_are_shown_augmented_images_and_no_other_network_is(name):
    """All images of the data and of the generator are of ones, which a hole alone makes zeros in."""
    # Penalties look at the same images, by derivatives that these networks have not.
    options = {'discriminator_augmentation': ('cutout',), 'r1_weight': 0.0}
    if issubclass(METHODS[name], FeatureMethod):
        options['feature_network'] = 'alexnet'
    experiment = make_experiment(name, method=options)
    method, seen = experiment.method, {}

    def standing_in(key, network):
        outputs = {}

        def apply(*inputs):
            seen.setdefault(key, []).extend(x for x in inputs if getattr(x, 'ndim', 0) == 4)
            shapes = str(jax.tree.map(jnp.shape, inputs))
            if shapes not in outputs:
                outputs[shapes] = jax.eval_shape(
                    lambda *x: network.module.init_with_output(jax.random.key(0), *x)[0], *inputs
                )
            return jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), outputs[shapes])

        return apply

    networks = {key: standing_in(key, network) for key, network in experiment.networks.items()}
    batch = {
        field: jnp.ones(value.shape) if value.ndim == 4 else value
        for field, value in make_batch(experiment, name).items()
    }
    given = phase_input(networks, {**batch, 'slot': jnp.arange(BATCH)}, memory=method.memory(BATCH, SIZE))
    made = {forward.name: forward.function(given) for forward in method.forwards()}
    for phase in method.phases():
        before = {key: len(images) for key, images in seen.items()}
        phase.loss(given._replace(forwards={each: made[each] for each in phase.forwards}))
        judged = [
            len(images) > before.get(key, 0)
            for key, images in seen.items()
            if experiment.networks[key].side == 'discriminator'
        ]
        assert any(judged), f'{phase.name} asks no discriminator'
    for key, images in seen.items():
        judges = experiment.networks[key].side == 'discriminator'
        for image in images if not key.startswith('feature_discriminator') else ():  # that is shown features
            holes = (image == 0).all(-1).any((1, 2))
            assert bool(holes.all() if judges else ~holes.any()), key


@every_method
@pytest.mark.parametrize('kinds', [('colour',), ('cutout', 'cutout')])
def test_wrong_kinds_are_told_with_the_choices(name, kinds):
    with pytest.raises(
        ValueError, match=r'discriminator_augmentation is .*; choose from color, translation, cutout'
    ):
        make_experiment(name, method={'discriminator_augmentation': kinds})
