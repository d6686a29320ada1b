"""A data set in memory, for evaluations: discs of many colours, one domain drawn with an outline."""

import types

import numpy as np

from configs import common
from gan_transfer.data.dataset import Dataset, Faults, Images, MemoryBudget

SIZE = 32
DOMAINS = ('plain', 'outlined')


def draw(key, outlined):
    """Returns a disc whose place, size and colour its key decides."""
    rng = np.random.default_rng([int(key), 7])
    x, y, radius = rng.uniform(10, 22), rng.uniform(10, 22), rng.uniform(5, 9)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    distance = np.hypot(rows - y, columns - x)
    image = np.full((SIZE, SIZE, 3), 255, np.uint8)
    image[distance < radius] = rng.integers(40, 220, 3)
    if outlined:
        image[(distance < radius) & (distance > radius - 2.5)] = 0
    return image


def make_dataset(test=13, train=9, truth=None):
    """Returns the data set: test images are true counterparts, training images are not."""

    def images(start, count, outlined):
        keys = [str(start + i) for i in range(count)]
        return Images(keys, lambda i: draw(keys[i], outlined), Faults(), MemoryBudget())

    return Dataset(
        name='discs',
        domains=DOMAINS,
        train={name: images(1000 * (i + 1), train, bool(i)) for i, name in enumerate(DOMAINS)},
        test={name: images(0, test, bool(i)) for i, name in enumerate(DOMAINS)},
        paired_test=True,
        licence='',
        faults=Faults(),
        truth=truth,
    )


def make_config(**evaluation):
    config = common.get_config()
    config.image_size, config.evaluate_batch_size = SIZE, 4
    config.evaluation.resamples = 5
    config.evaluation.update(evaluation)
    return config


def make_method(fields=('source', 'target_domain'), latent_size=0):
    """Returns what an evaluator asks of a method."""
    return types.SimpleNamespace(translate_fields=fields, latent_size=latent_size)


def outline(batch):
    """A perfect translation of the plain images, found by their pixels; others stay as they are."""
    known = {draw(str(key), False).tobytes(): draw(str(key), True) for key in range(60)}
    return np.stack([known.get(image.tobytes(), image) for image in batch['source']])


def keep(batch):
    return batch['source']
