"""Sample grids: which test images they show, and how the pictures are laid out.

A method that takes a target image shows sources down and target images across; any other one shows, in each row, a
source, its translation and, where the data has it, the truth.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

GAP = 2  # px of white between images
SHOWN_SIZE = 96  # px, about: smaller images are magnified, for the eye


class Samples(NamedTuple):
    """Test images to translate and what they are compared with.

    Attributes:
      batch: the fields that the method's translate needs; one row for every translated image.
      sources: uint8 [rows, h, w, 3], down the left edge.
      targets: uint8 [columns, h, w, 3], across the top, or None.
      truths: uint8 [rows, h, w, 3], at the end of each row, or None.
    """

    batch: dict[str, np.ndarray]
    sources: np.ndarray
    targets: np.ndarray | None
    truths: np.ndarray | None


def choose_samples(
    dataset: Any,
    fields: tuple[str, ...],
    directions: tuple[tuple[int, int], ...],
    load: Callable[[Any], np.ndarray],
    config: Any,
) -> Samples:
    """Chooses test images (training images where there are none) by the config's seed; the same at every call.

    Args:
      dataset: the open data set.
      fields: the method's `translate_fields`.
      directions: the method's pairs of source and target domain.
      load: an example to its image at the training size, uint8 [h, w, 3].
      config: for `seed`, `sample_rows`, `sample_columns`.
    """
    domains = dataset.domains
    generator = np.random.default_rng([config.seed, 1])
    rows, columns = config.sample_rows, config.sample_columns
    images = {
        name: dataset.test[name] if len(dataset.test[name]) else dataset.train[name] for name in domains
    }
    order = {name: generator.permutation(len(images[name])) for name in domains}
    if (
        dataset.paired_test
    ):  # the same order of keys in every domain, so that a row's target is never its own truth
        order = dict.fromkeys(domains, order[domains[0]])

    def example(domain: int, place: int) -> np.ndarray:
        name = domains[domain]
        return load(images[name][int(order[name][place % len(order[name])])])

    if 'target' in fields:
        from_domains, to_domains = (sorted(set(ends)) for ends in zip(*directions, strict=True))
        row_domains = [from_domains[i % len(from_domains)] for i in range(rows)]
        sources = np.stack([example(domain, i) for i, domain in enumerate(row_domains)])
        column_domains = [to_domains[i % len(to_domains)] for i in range(columns)]
        # From behind the rows' own images, as long as there are any: none of them is a row's truth.
        left = {domain: max(len(order[domains[domain]]) - rows, 1) for domain in column_domains}
        targets = np.stack(
            [example(domain, rows + i % left[domain]) for i, domain in enumerate(column_domains)]
        )
        batch = {
            'source': np.repeat(sources, columns, axis=0),
            'target': np.tile(targets, (rows, 1, 1, 1)),
            'target_domain': np.tile(np.int32(column_domains), rows),
        }
        return Samples(_only(batch, fields), sources, targets, None)
    row_domains, target_domains = zip(*(directions[i % len(directions)] for i in range(rows)), strict=True)
    sources = np.stack([example(domain, i) for i, domain in enumerate(row_domains)])
    truths = None
    if dataset.paired_test:
        truths = np.stack([example(domain, i) for i, domain in enumerate(target_domains)])
    batch = {
        'source': sources,
        'target_domain': np.int32(target_domains),
    }
    return Samples(_only(batch, fields), sources, None, truths)


def draw(samples: Samples, translated: np.ndarray) -> np.ndarray:
    """Returns the grid of the samples and their translations, uint8 [height, width, 3].

    Args:
      samples: what was translated.
      translated: uint8 [n, h, w, 3], one for each row of `samples.batch`.
    """
    rows = len(samples.sources)
    if samples.targets is None:
        columns = [samples.sources, translated] + ([samples.truths] if samples.truths is not None else [])
        return lay_out([list(row) for row in zip(*columns, strict=True)])
    translated = translated.reshape(rows, -1, *translated.shape[1:])
    top = [None, *samples.targets]
    return lay_out([top, *([source, *row] for source, row in zip(samples.sources, translated, strict=True))])


def lay_out(rows: list[list[np.ndarray | None]]) -> np.ndarray:
    """Returns images of one size in rows and columns with white gaps; None leaves a place white.

    Args:
      rows: of equal length; uint8 images [h, w, 3].
    """
    height, width = next(image.shape[:2] for row in rows for image in row if image is not None)
    shape = (len(rows) * (height + GAP) - GAP, len(rows[0]) * (width + GAP) - GAP, 3)
    picture = np.full(shape, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            if image is not None:
                y, x = i * (height + GAP), j * (width + GAP)
                picture[y : y + height, x : x + width] = image
    return picture


def magnify(picture: np.ndarray, image_size: int) -> np.ndarray:
    """Returns the grid with every pixel repeated so often that its images are about `SHOWN_SIZE` px wide."""
    factor = max(round(SHOWN_SIZE / image_size), 1)
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _only(batch: dict[str, np.ndarray], fields: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: batch[name] for name in fields}
