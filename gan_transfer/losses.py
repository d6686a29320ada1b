"""Losses: adversarial, regularizers of the discriminator, reconstruction. Pure functions; means over everything."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Scalar = Float[Array, '']
Logits = Float[Array, 'b ...']
Images = Float[Array, 'b h w c']

ADVERSARIAL = ('minimax', 'non_saturating', 'lsgan', 'hinge', 'wasserstein')


def check_adversarial(kind: str) -> None:
    """Raises ValueError, with the choices, for another name than those of `ADVERSARIAL`."""
    if kind not in ADVERSARIAL:
        raise ValueError(f'unknown adversarial loss {kind!r}; choose one of {", ".join(ADVERSARIAL)}')


def discriminator_real(kind: str, logits: Logits) -> Scalar:
    """What the discriminator minimizes on real images; see `discriminator_fake`."""
    check_adversarial(kind)
    if kind in ('minimax', 'non_saturating'):
        return jax.nn.softplus(-logits).mean()
    if kind == 'lsgan':
        return jnp.square(logits - 1).mean()
    if kind == 'hinge':
        return jax.nn.relu(1 - logits).mean()
    return -logits.mean()


def discriminator_fake(kind: str, logits: Logits) -> Scalar:
    """What the discriminator minimizes on generated images.

    `minimax`, `non_saturating`: -log(1 - D), with D = sigmoid(logit) (Goodfellow et al. 2014, equation 1);
    `lsgan`: D^2 with targets 1 and 0 (Mao et al. 2017, equation 9, without its factor 1/2);
    `hinge`: max(0, 1 + D) (Miyato et al. 2018, equation 16); `wasserstein`: D (Arjovsky et al. 2017, equation 3).
    """
    check_adversarial(kind)
    if kind in ('minimax', 'non_saturating'):
        return jax.nn.softplus(logits).mean()
    if kind == 'lsgan':
        return jnp.square(logits).mean()
    if kind == 'hinge':
        return jax.nn.relu(1 + logits).mean()
    return logits.mean()


def generator_adversarial(kind: str, logits: Logits) -> Scalar:
    """What the generator minimizes on its images.

    `minimax` is log(1 - D), the value of the two-player game itself (Goodfellow et al. 2014, equation 1); its gradient
    vanishes where the discriminator is sure. `non_saturating` is -log D (section 3 there), the usual choice.
    """
    if kind == 'minimax':
        return -jax.nn.softplus(logits).mean()
    if kind in ('hinge', 'wasserstein'):
        return -logits.mean()
    return discriminator_real(kind, logits)


def side(kind: str, logits: Logits) -> Scalar:
    """How many logits are on the side of real images: 1 is all, -1 none.

    The boundary is 0, or halfway between the targets 1 and 0 of `lsgan`; `wasserstein` has none, and comes to 0.
    """
    if kind == 'wasserstein':
        return jnp.zeros((), logits.dtype)
    return jnp.sign(logits - 0.5 if kind == 'lsgan' else logits).mean()


def feature_matching(features: dict[str, Images], target: dict[str, Images]) -> Scalar:
    """How far apart two images are in the means over all places of a discriminator's features, layer by layer.

    Means hold texture and colour, not where things are. The FUNIT paper (Liu et al. 2019, equation 4) takes the last
    layer; here every layer counts alike, because the first ones hold the colours. In float32, whatever the features
    are in: the difference of two means of many places is far below what bfloat16 tells apart.
    """

    def means(x: Images) -> Float[Array, 'b c']:
        return x.astype(jnp.float32).mean((1, 2))

    return sum(l1(means(features[name]), means(target[name])) for name in features) / len(features)


def moment_matching(features: dict[str, Images], target: dict[str, Images]) -> Scalar:
    """How far apart two images are in the means and deviations of features over all places, layer by layer.

    For features of a frozen network, such as VGG16's: the style loss of Huang and Belongie (2017, equation 13). Differs
    from the paper: absolute differences in place of norms, and each layer in units of the target image's root mean
    square, so that layers count alike; in float32, as `feature_matching`.
    """

    def moments(x: Images) -> tuple[Array, Array]:
        mean, variance = x.mean((1, 2)), x.var((1, 2))
        return mean, jnp.sqrt(variance + 1e-6)  # the root of 0 has no gradient

    total = 0.0
    for name, feature in features.items():
        wanted = target[name].astype(jnp.float32)
        unit = jnp.sqrt(jnp.square(wanted).mean((1, 2, 3), keepdims=True) + 1e-8)
        pairs = zip(moments(feature.astype(jnp.float32) / unit), moments(wanted / unit), strict=True)
        total += sum(l1(ours, theirs) for ours, theirs in pairs)
    return total / len(features)


def squared_gradient_norm(
    score: Callable[[Images], Logits], images: Images, *, of_sum: bool = False
) -> Float[Array, 'b']:
    """Returns, for each image, the squared norm of the gradient of its score.

    That of a patch discriminator is the mean of its logits, or their sum.
    """

    def total(x: Images) -> Scalar:
        logits = score(x)
        return logits.sum() if of_sum else logits.reshape(logits.shape[0], -1).mean(1).sum()

    gradient = jax.grad(total)(images)
    return jnp.square(gradient).sum((1, 2, 3))


def zero_centred_penalty(score: Callable[[Images], Logits], images: Images) -> Scalar:
    """Half the mean squared gradient norm: R1 on real images, R2 on generated ones (Mescheder et al. 2018, eq. 9)."""
    return 0.5 * squared_gradient_norm(score, images).mean()


def one_centred_penalty(
    score: Callable[[Images], Logits], real: Images, fake: Images, keys: Key[Array, 'b']
) -> Scalar:
    """The penalty of WGAN-GP (Gulrajani et al. 2017, equation 3): (|gradient| - 1)^2 between real and generated.

    As in the code of CycleGAN and CUT, the gradient is that of the sum of an image's logits: of a patch discriminator
    it is as many times steeper as there are patches.
    """
    mix = jax.vmap(lambda key: jax.random.uniform(key, (1, 1, 1)))(keys)
    squared = squared_gradient_norm(score, mix * real + (1 - mix) * fake, of_sum=True)
    return jnp.square(jnp.sqrt(squared + 1e-12) - 1).mean()


def l1(a: Float[Array, '...'], b: Float[Array, '...']) -> Scalar:
    """Mean absolute difference."""
    return jnp.abs(a - b).mean()


def patch_nce(
    queries: Float[Array, 'b n d'],
    keys: Float[Array, 'b n d'],
    temperature: float = 0.07,
    candidates: Float[Array, 'm d'] | None = None,
) -> Float[Array, 'b']:
    """PatchNCE (Park et al. 2020, equation 3): each query must find the key of its own place.

    It is the cross-entropy of plain similarities, but for the -10 that the original puts in the place of the positive
    among the negatives: nothing at its temperature, where it weighs exp(-140).

    Args:
      queries: unit vectors of the translation's patches.
      keys: unit vectors of the source's patches at the same places; constants, no gradient flows to them.
      temperature: divides the similarities.
      candidates: among which the own key is to be found, it too; those of the same image if None.

    Returns:
      the mean over the places, for each image.
    """
    keys = jax.lax.stop_gradient(keys)
    own = jnp.einsum('bnd,bnd->bn', queries, keys) / temperature
    if candidates is None:
        similarities = jnp.einsum('bnd,bmd->bnm', queries, keys) / temperature
    else:
        similarities = jnp.einsum('bnd,md->bnm', queries, jax.lax.stop_gradient(candidates)) / temperature
    total = jnp.logaddexp(jax.nn.logsumexp(similarities, axis=-1), -10 / temperature)
    return (total - own).mean(-1)
