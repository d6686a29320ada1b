"""Translating with a trained run, or in the middle of a training: what samples, translate and evaluate share."""

import contextlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from gan_transfer import data, sharding
from gan_transfer.checkpoint import BEST, NEWEST, Checkpoints
from gan_transfer.errors import UserError, from_user
from gan_transfer.experiment import Experiment, make_experiment, make_method
from gan_transfer.state import to_uint8

Fields = dict[str, np.ndarray]  # of a batch, by name


class Translator:
    """Translates batches of any length in parts of one length, so that one compiled program serves all."""

    def __init__(
        self, experiment: Experiment, batch_size: int, seed: int = 0, *, must_be_finite: bool = True
    ):
        """Args: an experiment; images in a part; the seed of what a method draws while it translates.

        A number that is not finite would become a black pixel; it is an error but where `must_be_finite` says
        otherwise, as for the samples of a training, which looks after such numbers itself.

        The devices of the experiment's mesh share a part, which is made longer where they do not divide it. Every
        process is given the whole batch, and gets all of the images.
        """
        self._experiment = experiment
        self._key = jax.random.key(seed)
        shares = sharding.batch_parts(experiment.mesh)
        self._batch_size = -(-batch_size // shares) * shares
        self._must_be_finite = must_be_finite
        self._finish = jax.jit(_finish, out_shardings=sharding.replicated(experiment.mesh))

    def __call__(self, params: dict[str, Any], batch: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the translated images of `batch`, uint8 [b, h, w, 3], by the generator side's `params`.

        Raises:
          UserError: where they are not finite, see above.
        """
        count = len(batch['source'])
        parts = []
        for start in range(0, count, self._batch_size):
            part = {
                name: _filled(x[start : start + self._batch_size], self._batch_size)
                for name, x in batch.items()
            }
            placed = {name: sharding.from_all(self._experiment.mesh, x) for name, x in part.items()}
            images = self._experiment.translate(params, placed, self._key)
            finished, finite = self._finish(images)
            if self._must_be_finite and not finite:
                raise UserError('the generator does not give finite numbers: its weights are of no use')
            parts.append(np.asarray(finished))
        return np.concatenate(parts)[:count]


def _finish(images: Float[Array, 'b h w 3']) -> tuple[UInt8[Array, 'b h w 3'], Bool[Array, '']]:
    """Returns images to save, and whether all numbers are finite; one function, so that it is compiled once a size."""
    return to_uint8(images), jnp.isfinite(images).all()


class Run(NamedTuple):
    """A trained run: its networks with the newest checkpoint's weights, its domains, and the checkpoint's step.

    `image_size` and `interpolation` to it are those of its training. `directions` are the pairs of source and target
    domain that it translates between: the method's, or fewer where the run was imported from files that lack a
    generator; `untrained` networks are those that an import has left with first weights.
    """

    experiment: Experiment
    params: dict[str, Any]
    domains: tuple[str, ...]
    step: int
    directions: tuple[tuple[int, int], ...]
    image_size: int
    images: int  # seen in training
    interpolation: str
    untrained: tuple[str, ...]

    def resize(self, image: UInt8[np.ndarray, 'h w 3']) -> UInt8[np.ndarray, 's s 3']:
        """Stretches an image to the size of the training, as its images were."""
        return data.resize(image, (self.image_size, self.image_size), self.interpolation)


def open_run(config: Any, workdir: str, folder: str = NEWEST) -> Run:
    """Opens the newest checkpoint in a folder of a run, on all devices of all processes; no data set is needed.

    Raises:
      UserError: where there is none, it is damaged (see `checkpoint.on_damage`), it is of another config, or it was
        imported without any generator.
    """
    checkpoints = Checkpoints(workdir, folder=folder)
    if checkpoints.latest() is None:
        none = (
            'no best checkpoint: evaluate_every_images keeps one' if folder == BEST else 'no checkpoint yet'
        )
        raise UserError(f'the run in {workdir!r} has {none}')

    def read(step: int) -> Run:
        about = checkpoints.about(step)
        domains = tuple(about['domains'])
        mesh = sharding.inference_mesh(jax.devices(), **config.mesh)
        with from_user():
            make_method(config).check(config.image_size, len(domains))
        experiment = make_experiment(config, domains=len(domains), mesh=mesh)
        state = checkpoints.restore(step, experiment.abstract_state, about)
        directions = about.get('directions', experiment.method.directions(len(domains)))
        if not directions:
            raise UserError(
                f'the run in {workdir!r} translates nothing: what it was imported from has no generator for it'
            )
        learnt = about.get('imported', {}).get('networks', list(experiment.networks))
        ways = tuple(map(tuple, directions))
        return Run(
            *(experiment, state.translate_params, domains, step, ways),
            image_size=config.image_size,
            images=about['images'],
            interpolation=data.trained_by(config.data),
            untrained=tuple(
                name
                for name, network in experiment.networks.items()
                if name not in learnt and not network.pretrained
            ),
        )

    with contextlib.closing(checkpoints):
        run, damaged = checkpoints.newest(read, config.checkpoint.on_damage)
    for error in damaged:
        print(f'warning: {error}; step {run.step} is taken instead', file=sys.stderr)
    return run


def translate_images(
    run: Run,
    sources: np.ndarray,
    *,
    target_domain: str | int | None = None,
    targets: np.ndarray | None = None,
    latents: np.ndarray | None = None,
    batch_size: int = 16,
) -> np.ndarray:
    """Translates images that are at hand, in a notebook say.

    Args:
      run: as `open_run` returns it.
      sources: uint8 [n, h, w, 3], or [1, h, w, 3] for one source by n styles.
      target_domain: name or index; not needed where the run knows one only.
      targets: images in the target style, uint8 [n, h', w', 3], or [1, h', w', 3] for all sources.
      latents: codes in place of target images, float [n, d] or [1, d], normally distributed; see `latent_codes`.
      batch_size: most images that are translated at once.

    Returns:
      uint8 [n, h, w, 3].

    Raises:
      ValueError: for a style that the method has no use for, or none where it needs one; other types or shapes.
    """
    sources, targets = (x if x is None else np.asarray(x) for x in (sources, targets))
    for name, x in (('sources', sources), ('targets', targets)):
        if x is not None and (x.ndim != 4 or x.shape[-1] != 3 or x.dtype != np.uint8 or not len(x)):
            raise ValueError(f'{name} are {x.dtype} {list(x.shape)}; wanted is uint8 [n, h, w, 3]')
    fields: Fields = {'target_domain': np.int32([find_domain(run, target_domain)])}
    check_style(run, target=targets is not None, latent=latents is not None)
    if targets is not None:
        fields['target'] = np.stack([run.resize(image) for image in targets])
    if latents is not None:
        fields['latent'] = np.asarray(latents, np.float32)
        if fields['latent'].shape[1:] != (run.experiment.method.latent_size,):
            width = run.experiment.method.latent_size
            raise ValueError(f'latents are {list(np.shape(latents))}; wanted is [n, {width}]')
    fields['source'] = np.stack([from_size(image, run) for image in sources])
    count = max(len(x) for x in fields.values())
    for name, x in fields.items():
        if len(x) not in (1, count):
            raise ValueError(
                f'there are {len(x)} of {name}, and {count} images to make: as many are wanted, or 1'
            )
    batch = {name: np.broadcast_to(x, (count, *x.shape[1:])) for name, x in fields.items()}
    translated = Translator(run.experiment, min(batch_size, count))(run.params, batch)
    return np.stack([to_size(image, sources.shape[1:3], run) for image in translated])


def latent_codes(run: Run, seeds: Sequence[int]) -> np.ndarray:
    """Returns the latent code of each seed, float32 [n, d]: what `--seed` takes.

    Raises:
      UserError: where the run was trained without.
    """
    check_style(run, target=False, latent=True)
    size = run.experiment.method.latent_size
    return np.stack([np.random.default_rng(seed).normal(size=size) for seed in seeds]).astype(np.float32)


def check_style(run: Run, *, target: bool, latent: bool) -> None:
    """Raises UserError for a style that the method has no use for, or none where it needs one."""
    method = run.experiment.method
    if 'target' not in method.translate_fields:
        if target or latent:
            given = 'target image' if target else 'latent code (no seed)'
            raise UserError(f'the method takes no {given}: a target domain is all the style that it knows')
    elif target and latent:
        raise UserError('a latent code (a seed) stands in place of a target image: give one of them')
    elif not target and not method.latent_size:
        raise UserError('this run was trained without latent codes: the style is given by a target image')
    elif not target and not latent:
        raise UserError('the style is given by a target image or by a latent code')
    reader = method.style_networks.get('target' if target else 'latent')
    if reader in run.untrained:
        raise UserError(
            f'{"target images" if target else "latent codes (seeds)"} are read by the {reader}, which this run has '
            'imported without: it has first weights until it is trained'
        )


def find_domain(run: Run, chosen: str | int | None, folder: str = '') -> int:
    """Returns the index of the target domain: the chosen one, the only one, or that which a target's folder names.

    Raises:
      UserError: with the choices.
    """
    names = {run.domains[index]: index for _, index in sorted(run.directions, key=lambda way: way[1])}
    choices = ', '.join(names)
    if chosen is not None:
        if chosen in names:
            return names[chosen]
        if str(chosen).isdecimal() and int(chosen) in names.values():
            return int(chosen)
        raise UserError(f'unknown target domain {chosen!r}; choose one of {choices}, by name or index')
    if len(names) == 1:
        return next(iter(names.values()))
    found = {folder, *(folder.removeprefix(split) for split in ('train', 'test', 'val'))} & set(names)
    if len(found) == 1:
        return names[found.pop()]
    hint = ', which the folder of the target image does not tell' if folder else ''
    raise UserError(f'a target domain is needed{hint}: one of {choices}, by name or index')


def from_size(image: np.ndarray, run: Run) -> np.ndarray:
    """Makes an image [h, w, 3] one that the networks take: reflected up to the next multiple, or resized."""
    method = run.experiment.method
    if not method.fully_convolutional:
        return run.resize(image)
    # The innermost feature map must be wider than its own reflected border.
    multiple, smallest = method.size_multiple, 4 * method.size_multiple
    missing = [max(-(-length // multiple) * multiple, smallest) - length for length in image.shape[:2]]
    padding = [(total // 2, total - total // 2) for total in missing]
    return np.pad(image, [*padding, (0, 0)], mode='reflect')


def to_size(image: np.ndarray, size: tuple[int, int], run: Run) -> np.ndarray:
    """Brings a translated image [h, w, 3] back to its source's size."""
    if not run.experiment.method.fully_convolutional:
        return data.resize(image, size)
    top, left = ((there - wanted) // 2 for there, wanted in zip(image.shape[:2], size, strict=True))
    return image[top : top + size[0], left : left + size[1]]


def _filled(x: np.ndarray, length: int) -> np.ndarray:
    """Repeats the last row up to `length` rows."""
    return x if len(x) == length else np.concatenate([x, np.repeat(x[-1:], length - len(x), axis=0)])
