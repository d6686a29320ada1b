"""Batches as a pure function of the seed and the step, read and augmented on threads.

The training set is an endless stream of samples. Sample t depends on (config.seed, t) only, so that resuming needs no
more than the step, and any number of processes can divide the stream between them.
"""

import functools
from collections.abc import Sequence
from typing import Any

import grain
import jax
import numpy as np
from ml_collections import ConfigDict

from gan_transfer import sharding
from gan_transfer.data.dataset import Dataset
from gan_transfer.data.transforms import Augmentation, make_augmentation, resize

SAMPLINGS = ('two_domains', 'class_balanced', 'other_domain', 'paired')
TWO_DOMAINS, CLASS_BALANCED, OTHER_DOMAIN, PAIRED = SAMPLINGS
# Every random part of a sample has its own stream of numbers, named by its place here: a method that asks for fewer
# fields sees the same images as one that asks for more.
FIELDS = ('source', 'target', 'target_2', 'source_domain', 'target_domain', 'latent', 'latent_2', 'paired')
STREAM = 2**62  # samples: no end
DEVICE_PREFETCH = 2  # batches that wait on the devices

# Which image each field shows: field -> (domain label, index of the image).
Choice = dict[str, tuple[int, int]]


def make_pipeline(
    dataset: Dataset,
    config: ConfigDict,
    fields: Sequence[str],
    sampling: str,
    latent_size: int = 0,
    start_step: int = 0,
    order: int = 0,
    mesh: jax.sharding.Mesh | None = None,
    rows: Sequence[int] | None = None,
) -> grain.DatasetIterator:
    """Returns an endless iterator of batches, to be closed with `.close()`.

    - 'two_domains' (CycleGAN, CUT): sources are the first domain, targets the second. Each is shuffled by itself, anew
      in each of its epochs, and repeated for ever; 'target_2' is the second domain in a third order.
    - 'class_balanced' (StarGAN v2): source and target domain are uniform and independent, images uniform in their
      domain with replacement; target and target_2 are different images of one domain, but where one of them stands in
      for an unreadable image, or the domain has no other.
    - 'other_domain': the same, but the target domain is one of the others.
    - 'paired' (pix2pix): sources are the first domain, shuffled as for 'two_domains'; 'paired' is the source's
      counterpart in the second domain, with the very same crop and mirroring.

    Differs from CycleGAN's and CUT's code, which draws the second domain's images at random, and from StarGAN v2's,
    whose two target images may be one.

    Every other image is augmented by itself. Row r of batch t is sample t * batch_size + r of the stream, on whatever
    devices; a process reads the rows that its own devices hold.

    Args:
      fields: of FIELDS. Images are uint8 [b, h, w, 3], domains int32 [b], latents float32 [b, latent_size] normal.
      start_step: number of the first batch.
      order: which of the seed's streams; each has the images in an order of its own, differently augmented.
      mesh: makes global jax arrays on it, in the background; None gives numpy arrays of the rows.
      rows: of the batch, ascending: those to read where there is no mesh; all by default.

    Raises:
      ValueError: for an unknown field or sampling, too few domains or images.
    """
    check_dataset(dataset, fields, sampling, latent_size)
    if mesh is not None:
        rows = sharding.process_rows(mesh, config.batch_size)
    rows = np.arange(config.batch_size) if rows is None else np.asarray(rows)
    entropy = np.random.SeedSequence(config.seed, spawn_key=(order,) if order else ())
    seeds = [int(seed) for seed in entropy.generate_state(5)]
    choices = _CHOICES[sampling](dataset, seeds)
    fill = functools.partial(_fill, dataset, make_augmentation(config), tuple(fields), latent_size)
    samples = choices.random_map(fill, seed=seeds[4])
    batches = _Rows(samples, rows, config.batch_size).batch(len(rows), drop_remainder=True)
    threads, prefetch = config.data.threads, config.data.prefetch
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(prefetch, threads))
    stream = batches[start_step:].to_iter_dataset(options)
    if mesh is not None:
        stream = stream.map(functools.partial(_to_devices, mesh, rows, config.batch_size))
        stream = grain.experimental.ThreadPrefetchIterDataset(stream, prefetch_buffer_size=DEVICE_PREFETCH)
    return iter(stream)


def abstract_batch(
    config: ConfigDict, fields: Sequence[str], latent_size: int, mesh: jax.sharding.Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes and types of the batches of `make_pipeline`, without any data."""
    size, batch = config.image_size, config.batch_size

    def one(field: str) -> jax.ShapeDtypeStruct:
        if field.endswith('_domain'):
            shape, dtype = (batch,), np.int32
        elif field.startswith('latent'):
            shape, dtype = (batch, latent_size), np.float32
        else:
            shape, dtype = (batch, size, size, 3), np.uint8
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding.batch_sharding(mesh, len(shape)))

    return {field: one(field) for field in fields}


class _Rows(grain.MapDataset):
    """Of every batch of a stream of samples, some rows."""

    def __init__(self, samples: grain.MapDataset, rows: np.ndarray, batch_size: int):
        super().__init__(samples)
        self._rows, self._batch_size = rows.tolist(), batch_size

    def __len__(self) -> int:
        return len(self._parent) // self._batch_size * len(self._rows)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        batch, place = divmod(index, len(self._rows))
        return self._parent[batch * self._batch_size + self._rows[place]]


def check_dataset(dataset: Dataset, fields: Sequence[str], sampling: str, latent_size: int) -> None:
    """Raises ValueError where the batches of `make_pipeline` cannot be drawn from the training images."""
    for field in fields:
        if field not in FIELDS:
            raise ValueError(f'unknown batch field {field!r}; there are {", ".join(FIELDS)}')
        if field.startswith('latent') and latent_size < 1:
            raise ValueError(f'batch field {field!r} needs a latent size, not {latent_size}')
        if field == 'paired' and sampling != PAIRED:
            raise ValueError(f"batch field 'paired' needs the sampling 'paired', not {sampling!r}")
    if sampling not in SAMPLINGS:
        raise ValueError(f'unknown sampling {sampling!r}; there are {", ".join(SAMPLINGS)}')
    if sampling in (TWO_DOMAINS, OTHER_DOMAIN, PAIRED) and len(dataset.domains) < 2:
        raise ValueError(
            f'two domains are needed, {dataset.name} has {len(dataset.domains)}: {dataset.domains}'
        )
    if sampling == PAIRED and not dataset.paired_train:
        raise ValueError(
            f'the training images of {dataset.name} are not pairs: data.share_keys=True makes pairs of emoji and '
            'glyphs, and a folder has them side by side in one image, or under one name in A/train and B/train'
        )
    for domain in dataset.domains:
        if not len(dataset.train[domain]):
            raise ValueError(f'domain {domain!r} of {dataset.name} has no training images')


def _two_domains(dataset: Dataset, seeds: Sequence[int]) -> grain.MapDataset:
    sizes = [len(dataset.train[domain]) for domain in dataset.domains]
    source, target, target_2 = (
        _Shuffle(sizes[label], seed) for label, seed in zip((0, 1, 1), seeds[:3], strict=True)
    )

    def choose(position: int) -> Choice:
        return {
            'source': (0, source[position]),
            'target': (1, target[position]),
            'target_2': (1, target_2[position]),
        }

    return grain.MapDataset.range(STREAM).map(choose)


class _Shuffle:
    """Endless passes over `size` images, each complete and in an order of its own.

    Grain's own shuffle computes one index at a time, which takes milliseconds for a set of a few images.
    """

    def __init__(self, size: int, seed: int):
        self._size = size
        # Threads are a few passes apart at most, where a pass is shorter than what is read ahead.
        self._order = functools.lru_cache(maxsize=16)(
            lambda epoch: np.random.default_rng([seed, epoch]).permutation(size)
        )

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(int(position), self._size)
        return int(self._order(epoch)[place])


def _paired(dataset: Dataset, seeds: Sequence[int]) -> grain.MapDataset:
    pairs = _Shuffle(len(dataset.train[dataset.domains[0]]), seeds[0])

    def choose(position: int) -> Choice:
        index = pairs[position]
        return {'source': (0, index), 'paired': (1, index)}

    return grain.MapDataset.range(STREAM).map(choose)


def _class_balanced(dataset: Dataset, seeds: Sequence[int], *, own: bool = True) -> grain.MapDataset:
    sizes = [len(dataset.train[domain]) for domain in dataset.domains]

    def choose(_: int, rng: np.random.Generator) -> Choice:
        source, target = (int(label) for label in rng.integers(len(sizes), size=2))
        if not own:
            target = (source + 1 + int(rng.integers(len(sizes) - 1))) % len(sizes)
        first = int(rng.integers(sizes[target]))
        # Any other image of the domain, if there is one.
        second = (first + 1 + int(rng.integers(max(sizes[target] - 1, 1)))) % sizes[target]
        return {
            'source': (source, int(rng.integers(sizes[source]))),
            'target': (target, first),
            'target_2': (target, second),
        }

    return grain.MapDataset.range(STREAM).random_map(choose, seed=seeds[0])


_CHOICES = {
    TWO_DOMAINS: _two_domains,
    CLASS_BALANCED: _class_balanced,
    OTHER_DOMAIN: functools.partial(_class_balanced, own=False),
    PAIRED: _paired,
}


def _fill(
    dataset: Dataset,
    augment: Augmentation,
    fields: tuple[str, ...],
    latent_size: int,
    choice: Choice,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    @functools.cache
    def read(field: str) -> np.ndarray:
        label, index = choice[field]
        return dataset.train[dataset.domains[label]][index].image

    seeds = rng.integers(2**63, size=len(FIELDS))
    sample = {}
    for field in fields:
        # A counterpart is cropped and mirrored as its source is.
        own = np.random.default_rng(seeds[FIELDS.index('source' if field == 'paired' else field)])
        if field in choice:
            image = read(field)
            if field == 'paired':
                image = resize(image, read('source').shape[:2])
            sample[field] = np.ascontiguousarray(augment(image, own))
        elif field.endswith('_domain'):
            sample[field] = np.int32(choice[field.removesuffix('_domain')][0])
        else:
            sample[field] = own.standard_normal(latent_size, np.float32)
    return sample


def _to_devices(
    mesh: jax.sharding.Mesh, rows: np.ndarray, batch_size: int, batch: dict[str, np.ndarray]
) -> dict[str, jax.Array]:
    return {field: sharding.to_devices(mesh, values, rows, batch_size) for field, values in batch.items()}
