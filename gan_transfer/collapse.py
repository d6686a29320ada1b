"""Signs of a game that has collapsed, seen in what is logged and sampled anyway."""

from collections.abc import Mapping

import numpy as np

from gan_transfer.pictures import Samples

STUCK = 10  # log steps in a row with every sign right
RIGHT = 0.999  # of the signs
LEVEL = 2 / 255  # of an image in [-1, 1]; translations by two latent codes that differ by less are one image
ONE = 0.01  # of 255 levels; images that differ by less are one, and say nothing of translations
SAME = 0.02  # of the images' own diversity; below, translations count as the same


def sign_accuracies(scalars: Mapping[str, float]) -> dict[str, float]:
    """Returns the share of logits on the right side, for each discriminator that logs `real_sign` and `fake_sign`.

    The heuristic r_t of Karras et al. 2020 (Training GANs with limited data, section 3), of generated images too.
    """
    accuracies = {}
    for name, real in scalars.items():
        fake = scalars.get(name.replace('real_sign', 'fake_sign'))
        if 'real_sign' in name and fake is not None:
            accuracies[name.replace('real_sign', 'sign')] = float(2 + real - fake) / 4
    return accuracies


def diversities(samples: Samples, translated: np.ndarray) -> dict[str, float]:
    """Returns how much translations differ from source to source, and from target image to target image.

    As a share of what the sources, or target images, differ by themselves: mean absolute deviations from the mean.

    Args:
      samples: what was translated.
      translated: uint8 [n, h, w, 3].
    """
    rows = len(samples.sources)
    if samples.targets is None:
        domains = _target_domains(samples, rows)
        return _smallest('sources', translated, samples.sources, domains)
    columns = len(samples.targets)
    grid = translated.reshape(rows, columns, *translated.shape[1:])
    return {
        **_smallest('sources', grid, samples.sources[:, None], np.zeros(rows)),
        # Within a domain: that domains differ says nothing about their images.
        **_smallest(
            'target images',
            grid.swapaxes(0, 1),
            samples.targets[:, None],
            _target_domains(samples, columns),
        ),
    }


class CollapseWatch:
    """Turns what is logged and sampled into warnings, each told once for as long as it lasts."""

    def __init__(self) -> None:
        """Starts with nothing seen."""
        self._in_a_row: dict[str, int] = {}
        self._told: set[str] = set()

    def logged(self, scalars: Mapping[str, float]) -> list[str]:
        """Returns new warnings about the scalars of a log step."""
        warnings = []
        for name, accuracy in sign_accuracies(scalars).items():
            warnings += self._new(
                name,
                f'{name}: the discriminator has told real from generated without a mistake for {STUCK} log steps; '
                'the generator may learn no more',
                seen=self._stuck(name, accuracy >= RIGHT),
            )
        for name, difference in scalars.items():
            if name.endswith('latent/diversity'):
                warnings += self._new(
                    name,
                    f'{name}: for {STUCK} log steps, translations by two latent codes have differed by less than one '
                    'of 255 levels; the codes have no say',
                    seen=self._stuck(name, difference < LEVEL),
                )
        return warnings

    def sampled(self, samples: Samples, translated: np.ndarray) -> list[str]:
        """Returns new warnings about translated samples."""
        warnings = []
        for name, share in diversities(samples, translated).items():
            warnings += self._new(
                name,
                f'the translated samples hardly depend on their {name}: '
                f'they differ by {share:.2%} of what those differ by',
                seen=share < SAME,
            )
        return warnings

    def _stuck(self, name: str, seen: bool) -> bool:  # noqa: FBT001
        """Counts a log step; returns whether `STUCK` of them in a row have seen it."""
        self._in_a_row[name] = self._in_a_row.get(name, 0) + 1 if seen else 0
        return self._in_a_row[name] >= STUCK

    def _new(self, name: str, text: str, *, seen: bool) -> list[str]:
        if not seen:
            self._told.discard(name)
            return []
        new = name not in self._told
        self._told.add(name)
        return [text] if new else []


def _target_domains(samples: Samples, count: int) -> np.ndarray:
    return np.asarray(samples.batch.get('target_domain', np.zeros(count)))[:count]


def _smallest(name: str, translated: np.ndarray, images: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """The smallest share of any group of two different ones and more along the first axis; nothing without such."""
    shares = [
        _deviation(translated[groups == group]) / _deviation(images[groups == group])
        for group in np.unique(groups)
        if (groups == group).sum() > 1 and _deviation(images[groups == group]) > ONE
    ]
    return {name: min(shares)} if shares else {}


def _deviation(images: np.ndarray) -> float:
    """Mean absolute deviation from the mean over the first axis."""
    images = images.astype(np.float32)
    return float(np.abs(images - images.mean(0)).mean())
