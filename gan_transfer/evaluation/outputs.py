"""The translated test images of one direction, batch by batch, with what they are compared with."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from gan_transfer import data
from gan_transfer.data.transforms import CUBIC
from gan_transfer.evaluation.protocols import Protocol

SEED = 0  # chooses target images and latent codes

Translate = Callable[[dict[str, np.ndarray]], np.ndarray]  # a batch to uint8 images [b, h, w, 3]


class Translated(NamedTuple):
    """A batch of test images, uint8 [b, h, w, 3]; the first `count` rows count, the others fill the batch.

    Attributes:
      indices: which test images they are.
      sources: the test images.
      outputs: their translations: one array for each output of a source.
      targets: the target images of each output; None where there are none.
      target_keys: the keys of these images in the data set.
      truths: the true images of each output; None where none is asked for.
      others: for the truth in the style of the target image, what is true in the style of the next source's; None for
        other truths.
    """

    count: int
    indices: list[int]
    sources: np.ndarray
    outputs: list[np.ndarray]
    targets: list[np.ndarray] | None
    target_keys: list[list[str]] | None
    truths: list[np.ndarray] | None
    others: list[np.ndarray] | None = None


def load_images(
    images: Any, indices: list[int], image_size: int | None, interpolation: str = CUBIC
) -> np.ndarray:
    """Returns images of a data set, resized: uint8 [n, image_size, image_size, 3]; None: as they are, of one size.

    Raises:
      ValueError: naming an image that cannot be read: a protocol counts every image once.
    """
    found = []
    for i in indices:
        example = images[i]
        if example.key != images.keys[i]:
            raise ValueError(f'the image {images.keys[i]} cannot be read, and an evaluation takes all images')
        image = example.image
        found.append(image if image_size is None else data.resize(image, (image_size,) * 2, interpolation))
    return np.stack(found)


def in_batches(total: int, length: int) -> Iterator[tuple[int, list[int]]]:
    """Yields how many indices count, and the indices, the last repeated where a batch is not full."""
    for start in range(0, total, length):
        yield min(length, total - start), [min(i, total - 1) for i in range(start, start + length)]


def style_of(method: Any, protocol: Protocol) -> str | None:
    """Returns by what `protocol` tells a method the style: 'target' images, 'latent' codes, or None."""
    if 'target' not in method.translate_fields:
        return None  # the domain is all that it knows
    return 'latent' if protocol.styles == 'latent' else 'target'


def translate_all(
    config: Any,
    dataset: Any,
    method: Any,
    protocol: Protocol,
    source: int,
    target: int,
    translate: Translate,
) -> Iterator[Translated]:
    """Yields the test images of one domain translated to another, in batches of `config.evaluate_batch_size`.

    By default a target image is a training image of the target domain, drawn by a fixed seed: the style is known from
    it, and never the truth itself.
    """
    source_name, target_name = dataset.domains[source], dataset.domains[target]
    sources = dataset.test[source_name]
    load = functools.partial(load_images, image_size=config.image_size, interpolation=protocol.interpolation)
    style = style_of(method, protocol)
    styles = (dataset.test if protocol.styles == 'test' else dataset.train)[target_name]
    rng = np.random.default_rng([SEED, source, target])
    if protocol.outputs == 1:
        drawn = rng.integers(len(styles), size=(1, len(sources)))
    else:  # the outputs of a source by different images: those by one would differ in nothing
        orders = [rng.permutation(len(styles)) for _ in range(len(sources))]
        drawn = np.stack([np.resize(order, protocol.outputs) for order in orders], axis=1)
    following = np.roll(drawn, -1, axis=1)  # the next source's target images
    codes = rng.normal(size=(protocol.outputs, len(sources), method.latent_size or 1)).astype(np.float32)
    for count, indices in in_batches(len(sources), config.evaluate_batch_size):
        fixed = {
            'source': load(sources, indices),
            'target_domain': np.full(len(indices), target, np.int32),
        }
        fixed = {name: fixed[name] for name in method.translate_fields if name in fixed}
        chosen = [row[indices].tolist() for row in drawn]
        if style == 'latent':
            given, targets = [{'latent': row[indices]} for row in codes], None
        elif style == 'target':
            targets = [load(styles, row) for row in chosen]
            given = [{'target': images} for images in targets]
        else:
            given, targets = [{}] * protocol.outputs, None
        truths = others = None
        if protocol.truth == 'paired':
            truths = [load(dataset.test[target_name], indices)] * protocol.outputs
        elif protocol.truth == 'reference':
            truth = functools.partial(_truth, dataset, sources, styles, target_name, indices)
            truths = [truth(row) for row in chosen]
            others = [truth(row[indices].tolist()) for row in following]
        outputs = [translate({**fixed, **fields}) for fields in given]
        keys = [[styles.keys[i] for i in row] for row in chosen] if targets else None
        yield Translated(count, indices, fixed['source'], outputs, targets, keys, truths, others)


def _truth(
    dataset: Any, sources: Any, styles: Any, target: str, indices: list[int], of_style: list[int]
) -> np.ndarray:
    """Returns the contents of some sources, each drawn in the style of an image of the domain `target`."""
    pairs = zip(indices, of_style, strict=True)
    return np.stack([dataset.truth(sources.keys[i], styles.keys[j], target) for i, j in pairs])
