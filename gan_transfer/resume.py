"""Where a training starts: at the newest good checkpoint of its run, or at the beginning."""

import importlib.metadata
from typing import Any, NamedTuple

from gan_transfer import processes, run_config
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.code_version import code_version
from gan_transfer.data.dataset import Dataset
from gan_transfer.errors import UserError
from gan_transfer.experiment import Experiment
from gan_transfer.state import GanState
from gan_transfer.writer import evaluated, last_images

TRAINING_IMAGES, UNREADABLE = 'training_images', 'unreadable'  # in what is remembered with a checkpoint
LISTED = 3  # images in a note


class Start(NamedTuple):
    """What a training starts with.

    Attributes:
      step: steps done.
      state: None for a new run.
      about: what was remembered with the checkpoint.
      notes: what the user should know.
      changes: of the training images since the checkpoint, `WHAT: old -> new`.
    """

    step: int
    state: GanState | None
    about: dict[str, Any]
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def find_start(
    checkpoints: Checkpoints,
    experiment: Experiment,
    config: Any,
    dataset: Dataset,
    *,
    allow_change: bool = True,
) -> Start:
    """Restores the newest checkpoint; a damaged one is an error, or is set aside for the one before it.

    Args:
      checkpoints: of the run, to write.
      experiment: what the state belongs to.
      config: `checkpoint.on_damage` says what to do about damage.
      dataset: the data.
      allow_change: go on with other training images.

    Raises:
      UserError: where no step can be taken from the checkpoint.
    """
    if checkpoints.latest() is None:
        return Start(0, None, {})

    def read(step: int) -> Start:
        about = checkpoints.about(step)
        changes = _check(about, step, config, dataset, allow_change=allow_change)
        state = checkpoints.restore(step, experiment.abstract_state, about)
        return Start(step, state, about, changes=changes)

    start, damaged = checkpoints.newest(read, config.checkpoint.on_damage)
    if not damaged:
        return start
    places = checkpoints.set_aside(start.step + 1)
    return start._replace(notes=(*map(str, damaged), f'moved to {", ".join(places)}'))


def owes_evaluation(config: Any, workdir: str, start: Start) -> bool:
    """Whether the run was left when an evaluation was due, and has not made it since."""
    if not config.evaluate_every_images or not start.about.get('owed_evaluation', False):
        return False
    return not processes.of_the_first(evaluated(workdir, start.step))


def remembered(dataset: Dataset, images: int) -> dict[str, Any]:
    """Returns what is remembered with a checkpoint, by which the next start knows the data again."""
    return {
        'images': images,
        'domains': list(dataset.domains),
        'data': dataset.name,
        TRAINING_IMAGES: dataset.training_images,
        UNREADABLE: dataset.unreadable_training_images,
        'versions': {name: importlib.metadata.version(name) for name in ('jax', 'flax', 'optax')},
        'code': code_version(),
    }


def check_log(config: Any, workdir: str) -> None:
    """Refuses to begin anew where the log of a run tells of checkpoints that are not there.

    Raises:
      UserError: where a second checkpoint was due, so that the first was whole.
    """
    images = processes.of_the_first(last_images(workdir))
    saved = run_config.read(workdir) or {}  # a shorter interval now says nothing of what was due
    every = max(config.checkpoint_every_images, saved.get('checkpoint_every_images', 0))
    if images >= 2 * every + config.batch_size:
        raise UserError(
            f'{workdir} has the log of {images:.0f} images and no checkpoint to go on from: bring them back, or take '
            'another --workdir to begin anew'
        )


def _check(
    about: dict[str, Any], step: int, config: Any, dataset: Dataset, *, allow_change: bool
) -> tuple[str, ...]:
    """Refuses to go on from a checkpoint whose steps, labels or order of samples would mean something else now.

    Returns:
      how the training images differ where that is allowed, and which of them can or cannot be read any more.

    Raises:
      UserError: where batch size, domains, or without `allow_change` the training images differ.
    """
    domains = dataset.domains
    if about['images'] != step * config.batch_size:
        raise UserError(
            f'batch_size is {config.batch_size}; the checkpoint of step {step} has seen {about["images"]} images, '
            f'{about["images"] // step} a step, and a run cannot change that'
        )
    if tuple(about['domains']) != tuple(domains):
        raise UserError(
            f'the data has the domains {", ".join(domains)}; the run was started with {", ".join(about["domains"])}'
        )
    now = dataset.training_images
    then = about.get(TRAINING_IMAGES, now)
    changes = []
    for name in domains:
        if then[name] == now[name]:
            continue
        count, before = len(dataset.train[name]), then[name].partition(' ')[0]
        if not allow_change:
            other = f'{count}, then {before}' if before != str(count) else 'other names'
            raise UserError(
                f'the training images of {name} are not those of the checkpoint of step {step} ({other}), and would '
                'come in another order; go on all the same with --allow_config_change'
            )
        changes.append(
            f'training images of {name}: {before} -> {count if before != str(count) else "others"}'
        )
    unreadable = dataset.unreadable_training_images
    before = about.get(UNREADABLE, unreadable)
    if before != unreadable:
        changes.append(f'unreadable training images: {_some(before)} -> {_some(unreadable)}')
    return tuple(changes)


def _some(names: list[str]) -> str:
    more = f' and {len(names) - LISTED} more' if len(names) > LISTED else ''
    return (', '.join(names[:LISTED]) or 'none') + more
