"""The history of generated images: fill, swap, and independence of how the batch is split."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_transfer import image_pool, random


def _images(batch, value):
    return jnp.full((batch, 2, 2, 3), float(value))


def test_fills_first_then_swaps_half_of_the_time():
    pool = image_pool.create(4, 1, (2, 2, 3))
    returned = []
    for i in range(400):
        keys = random.per_sample(jax.random.key(i), jnp.arange(1))
        image, pool = image_pool.query(pool, _images(1, i), keys)
        returned.append(int(image[0, 0, 0, 0]))
    assert returned[:4] == [0, 1, 2, 3]
    old = sum(value != i for i, value in enumerate(returned[4:], 4)) / 396
    assert 0.4 < old < 0.6
    assert len(set(returned[4:])) == 396, 'an image leaves the pool when it is returned from there'


def test_every_stored_image_may_leave():
    batch, size = 256, 4
    images = jnp.broadcast_to(jnp.arange(float(size))[:, None, None, None], (batch, size, 1, 1, 3))
    pool = image_pool.ImagePool(images, jnp.full((batch,), size, jnp.int32))
    keys = random.per_sample(jax.random.key(0), jnp.arange(batch))
    returned, _ = image_pool.query(pool, jnp.full((batch, 1, 1, 3), 9.0), keys)
    counts = np.bincount(np.asarray(returned[:, 0, 0, 0], int))
    assert counts[:size].min() > 15  # 32 of each by chance


def test_a_place_of_the_batch_does_not_depend_on_the_others():
    pool, keys = image_pool.create(6, 3, (2, 2, 3)), random.per_sample(jax.random.key(0), jnp.arange(3))
    assert pool.images.shape == (3, 2, 2, 2, 3)
    single = jax.tree.map(lambda x: x[1:2], pool)
    for i in range(6):
        images = _images(3, i) + jnp.arange(3.0)[:, None, None, None] * 100
        both, pool = image_pool.query(pool, images, keys)
        alone, single = image_pool.query(single, images[1:2], keys[1:2])
        np.testing.assert_array_equal(both[1:2], alone)
