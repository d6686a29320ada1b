"""Adversarial losses against the originals' values and against each other; penalties against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_transfer import losses
from tests.reference import cases

THEIR_NAMES = {
    'lsgan': 'lsgan',
    'non_saturating': 'nonsaturating',
    'minimax': 'vanilla',
    'wasserstein': 'wgangp',
}


@pytest.mark.parametrize('kind', THEIR_NAMES)
def test_adversarial_losses_are_the_originals(kind):
    case = {name: jnp.asarray(value) for name, value in cases.load('adversarial_losses').arrays.items()}
    name = THEIR_NAMES[kind]
    np.testing.assert_allclose(
        losses.discriminator_real(kind, case['logits']), case[f'{name}_real'], rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.discriminator_fake(kind, case['logits']), case[f'{name}_fake'], rtol=1e-5
    )


@pytest.mark.parametrize('kind', losses.ADVERSARIAL)
def test_a_logit_between_the_targets_is_on_no_side(kind):
    """A logit is on the side of whose loss it has the less of; a critic's has none."""
    for logit in (-1.5, 0.2, 0.8, 3.0):
        logits = jnp.array([logit])
        real, fake = losses.discriminator_real(kind, logits), losses.discriminator_fake(kind, logits)
        expected = 0 if kind == 'wasserstein' else jnp.sign(fake - real)
        assert losses.side(kind, logits) == expected


@pytest.mark.parametrize('kind', losses.ADVERSARIAL)
def test_players_pull_in_opposite_directions(kind):
    logits = jnp.array([-0.4, 0.3])
    generator = jax.grad(lambda x: losses.generator_adversarial(kind, x))(logits)
    fake = jax.grad(lambda x: losses.discriminator_fake(kind, x))(logits)
    real = jax.grad(lambda x: losses.discriminator_real(kind, x))(logits)
    assert (generator < 0).all(), 'the generator wants higher logits for its images'
    assert (real < 0).all(), 'the discriminator wants higher logits for real images'
    if kind != 'lsgan':  # whose target for generated images is 0, not minus infinity
        assert (fake > 0).all()


def test_minimax_is_the_negative_of_what_the_discriminator_minimizes():
    logits = jnp.linspace(-3, 3, 7)
    generator = losses.generator_adversarial('minimax', logits)
    np.testing.assert_allclose(generator, -losses.discriminator_fake('minimax', logits))


def test_hinge_is_flat_beyond_the_margin():
    assert losses.discriminator_real('hinge', jnp.array([2.0])) == 0
    assert losses.discriminator_fake('hinge', jnp.array([-2.0])) == 0
    assert losses.discriminator_real('hinge', jnp.array([0.0])) == 1


def test_penalties_of_a_linear_score():
    weights = jax.random.normal(jax.random.key(0), (4, 4, 3))
    images = jax.random.normal(jax.random.key(1), (5, 4, 4, 3))
    norm = float(jnp.linalg.norm(weights))

    def score(x):
        return (x * weights).sum((1, 2, 3))

    np.testing.assert_allclose(losses.zero_centred_penalty(score, images), 0.5 * norm**2, rtol=1e-5)
    keys = jax.random.split(jax.random.key(2), 5)
    penalty = losses.one_centred_penalty(score, images, -images, keys)
    np.testing.assert_allclose(penalty, (norm - 1) ** 2, rtol=1e-5)


def test_patches_add_up_in_the_penalty_of_wgan_gp_and_count_once_in_r1():
    weights = jax.random.normal(jax.random.key(0), (4, 4, 3))
    images = jax.random.normal(jax.random.key(1), (5, 4, 4, 3))
    norm = float(jnp.linalg.norm(weights))

    def score(x):  # six patches that all see the same
        return jnp.repeat((x * weights).sum((1, 2, 3))[:, None], 6, axis=1)

    np.testing.assert_allclose(losses.zero_centred_penalty(score, images), 0.5 * norm**2, rtol=1e-5)
    penalty = losses.one_centred_penalty(score, images, -images, jax.random.split(jax.random.key(2), 5))
    np.testing.assert_allclose(penalty, (6 * norm - 1) ** 2, rtol=1e-5)


@pytest.mark.parametrize('matching', [losses.feature_matching, losses.moment_matching])
def test_matching_sees_what_and_not_where(matching):
    features = {'fine': jax.random.normal(jax.random.key(0), (2, 4, 4, 3)), 'coarse': jnp.ones((2, 2, 2, 5))}
    moved = {name: jnp.roll(x, 1, (1, 2)) for name, x in features.items()}
    np.testing.assert_allclose(matching(features, moved), 0, atol=1e-6)
    # Three times a constant, in one of two layers: twice it too much in the mean, nothing in the deviation.
    louder = {**features, 'coarse': 3 * features['coarse']}
    np.testing.assert_allclose(matching(louder, features), 2 / 2, rtol=1e-6)


def test_moment_matching_sees_deviations():
    """Stripes of 0 and 2 have the constant's mean, and the deviation 1 in place of 0."""
    flat = {'coarse': jnp.ones((2, 2, 2, 5))}
    striped = {'coarse': flat['coarse'].at[:, 0].set(0).at[:, 1].set(2)}
    np.testing.assert_allclose(losses.moment_matching(striped, flat), 1, rtol=2e-3)
    gradient = jax.grad(lambda x: losses.moment_matching({'coarse': x}, flat))(flat['coarse'])
    assert np.isfinite(gradient).all(), 'the deviation of a constant is 0'


def test_unknown_kind_names_the_choices():
    for function in (losses.discriminator_real, losses.discriminator_fake, losses.generator_adversarial):
        with pytest.raises(ValueError, match="unknown adversarial loss 'gan'; choose one of minimax"):
            function('gan', jnp.zeros(3))
