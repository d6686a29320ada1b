"""The measures of translated images: what each means to a reader, and what computes it, image by image."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from gan_transfer import feature_networks
from gan_transfer.evaluation.outputs import Translated
from gan_transfer.evaluation.protocols import FOLLOWED, TRUTH, Protocol
from gan_transfer.metrics import intervals, paired, semantics, structure, style

Values = dict[str, np.ndarray]  # measure -> a value for each image [b]
Images = UInt8[Array, 'b h w 3']
Maps = list[Float[Array, 'b _ _ _']]

# Names of measures, a batch, images in the place of its outputs -> values.
Compute = Callable[[Sequence[str], Translated, Sequence[np.ndarray]], Values]


@dataclasses.dataclass(frozen=True)
class Measure:
    """How a measure is to be read.

    Attributes:
      title: of its column.
      higher_is_better: None where neither is.
      share: of images that something is true of.
      of_source: whether the untouched source, taken for a translation, has a telling value.
    """

    title: str
    higher_is_better: bool | None
    of_source: bool = False
    share: bool = False


MEASURES = {
    'absolute_error': Measure('abs. error', False, of_source=True),
    'ssim': Measure('SSIM', True, of_source=True),
    'psnr': Measure('PSNR, dB', True, of_source=True),
    'lpips_alexnet': Measure('LPIPS, alex', False, of_source=True),
    FOLLOWED: Measure('target followed', True, of_source=True, share=True),
    'source_l2': Measure('L2 to source', None),
    'source_psnr': Measure('PSNR to source, dB', None),
    'source_ssim': Measure('SSIM to source', None),
    'structure': Measure('structure', False),
    'style_distance': Measure('style', False, of_source=True),
    'leakage': Measure('leakage', False),
    'class_kept': Measure('class kept', True, share=True),
    'class_cosine': Measure('classes, cosine', True),
    'diversity': Measure('LPIPS diversity', True),
    'diversity_batch_mean': Measure('LPIPS diversity, mean of batches', True),
    'retrieval_top1': Measure('retrieval', True, of_source=True, share=True),
    'retrieval_top5': Measure('top 5', True, of_source=True, share=True),
    'content_kept': Measure('content kept', True, of_source=True, share=True),
    'style_taken': Measure('style taken', True, of_source=True, share=True),
    'precision': Measure('precision', True, of_source=True),
    'recall': Measure('recall', True, of_source=True),
    'density': Measure('density', True, of_source=True),
    'coverage': Measure('coverage', True, of_source=True),
}
OF_SOURCE = ('source_l2', 'source_psnr', 'source_ssim')
OF_CLASSES = ('class_kept', 'class_cosine')
OF_DEEP_FEATURES = ('structure', 'style_distance', 'leakage')


def measure(name: str) -> Measure:
    """Returns how a measure is to be read, also kid_FEATURES, fid_FEATURES, read_FACTOR."""
    kind, _, rest = name.partition('_')
    if kind in ('kid', 'fid'):
        # FID is by Inception, or it is not FID.
        label = kind.upper() if kind == 'kid' or rest.startswith(('inception', 'torchvision')) else 'Fréchet'
        return Measure(f'{label}, {rest.replace("_", " ")}', False, of_source=True)
    if kind == 'read':
        return Measure(f'{rest} right', True, of_source=True, share=True)
    return MEASURES[name]


def closer(name: str, value: float, other: float) -> bool:
    """Whether `value` is better than `other`."""
    return value > other if measure(name).higher_is_better else value < other


def check_size(name: str, protocol: Protocol, image_size: int) -> None:
    """Raises ValueError where images of so many pixels are too small for a protocol's measures."""
    smallest = 2 * paired.SSIM_RADIUS + 1
    if {'ssim', 'source_ssim'} & set(protocol.measures) and image_size < smallest:
        raise ValueError(
            f'images have {image_size} px; {name} measures SSIM, which takes {smallest} px and more'
        )


def comparable(row: dict, name: str) -> float:
    """Returns a row's value to compare with the untouched sources': that of as many images, for several outputs."""
    return row.get('one_output', {}).get(name, row['translated'][name])


def summarize(parts: Sequence[Values]) -> tuple[dict[str, float], dict[str, intervals.Interval | None]]:
    """Returns the means of measures over the images of all batches, and the intervals of these means."""
    values = {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}
    return (
        {name: float(of_images.mean()) for name, of_images in values.items()},
        {name: intervals.of_mean(of_images, share=measure(name).share) for name, of_images in values.items()},
    )


class Networks:
    """The networks that measures need, each loaded and compiled when first used, once for all protocols."""

    @functools.cached_property
    def lpips_alexnet(self) -> Callable:
        return feature_networks.lpips_distance('alexnet')

    def vgg16_maps(self, image_size: int) -> Callable:
        layer = structure.layer(image_size)
        if layer not in self._vgg16:
            self._vgg16[layer] = feature_networks.feature_maps('vgg16', (*style.LAYERS['vgg16'], layer))
        return self._vgg16[layer]

    @functools.cached_property
    def _vgg16(self) -> dict[str, Callable]:
        return {}

    @functools.cached_property
    def classify(self) -> Callable:
        return feature_networks.efficientnet_lite0()


def make(networks: Networks) -> Compute:
    """Returns what computes measures of images in the place of a batch's outputs.

    With several outputs of a source a value is their mean. Measures that compare with a target image are left out where
    there is none.

    Raises:
      ValueError: when it is called, where a package with weights is missing.
    """
    functions = (
        (TRUTH, _of_truth(networks)),
        ((FOLLOWED,), _followed),
        (OF_SOURCE, _of_source()),
        (OF_DEEP_FEATURES, _of_deep_features(networks)),
        (OF_CLASSES, _of_classes(networks)),
    )

    def compute(names: Sequence[str], batch: Translated, images: Sequence[np.ndarray]) -> Values:
        values: Values = {}
        for given, function in functions:
            if set(given) & set(names):
                parts = [function(batch, i, output) for i, output in enumerate(images)]
                for name in parts[0]:
                    values[name] = np.mean([np.asarray(part[name], np.float64) for part in parts], axis=0)
        if 'diversity' in names and len(images) > 1:
            values['diversity'] = _diversity(networks, images)
        return {name: values[name][: batch.count] for name in names if name in values}

    return compute


def _of_truth(networks: Networks) -> Callable[[Translated, int, np.ndarray], Values]:
    compare = jax.jit(_pixels)

    def compute(batch: Translated, output: int, images: np.ndarray) -> Values:
        truth = batch.truths[output]
        return jax.device_get(
            {**compare(images, truth), 'lpips_alexnet': networks.lpips_alexnet(images, truth)}
        )

    return compute


def _followed(batch: Translated, output: int, images: np.ndarray) -> Values:
    """Whether images are nearer, by absolute error, to what is true for their target image than for another.

    1 or 0, and 0.5 where they are as near: the mean is 0.5 for what knows nothing of its target image.
    """
    nearer, other = (
        np.abs(images.astype(np.int64) - truth).sum((1, 2, 3))
        for truth in (batch.truths[output], batch.others[output])
    )
    return {FOLLOWED: (1 + np.sign(other - nearer)) / 2}


def _pixels(images: Images, truth: Images) -> dict[str, Float[Array, 'b']]:
    a, b = images.astype(jnp.float32) / 255, truth.astype(jnp.float32) / 255
    return {
        'absolute_error': paired.absolute_error(a, b),
        'ssim': paired.ssim(a, b),
        'psnr': paired.psnr(a, b),
        'l2': jnp.sqrt(jnp.square(a - b).sum((1, 2, 3))),
    }


def _of_source() -> Callable[[Translated, int, np.ndarray], Values]:
    compare = jax.jit(_pixels)

    def compute(batch: Translated, output: int, images: np.ndarray) -> Values:
        del output
        values = jax.device_get(compare(images, batch.sources))
        return {f'source_{name}': value for name, value in values.items()}

    return compute


def _of_deep_features(networks: Networks) -> Callable[[Translated, int, np.ndarray], Values]:
    compare = jax.jit(_content_and_style)

    def compute(batch: Translated, output: int, images: np.ndarray) -> Values:
        maps = networks.vgg16_maps(images.shape[1])
        target = maps(batch.targets[output]) if batch.targets else None
        return jax.device_get(compare(maps(batch.sources), maps(images), target))

    return compute


def _content_and_style(source: Maps, output: Maps, target: Maps | None) -> dict[str, Float[Array, 'b']]:
    """Compares the layers of style, and behind them the one of structure."""
    values = {'structure': structure.distance(source[-1], output[-1])}
    if target is not None:
        values['style_distance'] = style.distance(output[:-1], target[:-1])
        values['leakage'] = structure.leakage(source[-1], output[-1], target[-1])
    return values


def _of_classes(networks: Networks) -> Callable[[Translated, int, np.ndarray], Values]:
    def compute(batch: Translated, output: int, images: np.ndarray) -> Values:
        del output
        found = semantics.agreement(*(np.asarray(networks.classify(x)) for x in (batch.sources, images)))
        return {'class_kept': found.first_kept, 'class_cosine': found.cosine}

    return compute


def _diversity(networks: Networks, images: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the mean LPIPS over all pairs of a source's outputs."""
    pairs = itertools.combinations(images, 2)
    return np.mean([np.asarray(networks.lpips_alexnet(a, b), np.float64) for a, b in pairs], axis=0)
