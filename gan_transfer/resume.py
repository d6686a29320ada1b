"""Where a training starts: at the newest good checkpoint of its run, or at the beginning."""

from typing import Any, NamedTuple

from gan_transfer import processes
from gan_transfer.checkpoint import Checkpoints
from gan_transfer.errors import UserError
from gan_transfer.experiment import Experiment
from gan_transfer.state import GanState
from gan_transfer.writer import evaluated


class Start(NamedTuple):
    """What a training starts with.

    Attributes:
      step: steps done.
      state: None for a new run.
      about: what was remembered with the checkpoint.
      notes: what the user should know.
    """

    step: int
    state: GanState | None
    about: dict[str, Any]
    notes: tuple[str, ...] = ()


def find_start(
    checkpoints: Checkpoints, experiment: Experiment, config: Any, domains: tuple[str, ...]
) -> Start:
    """Restores the newest checkpoint; a damaged one is an error, or is set aside for the one before it.

    Args:
      checkpoints: of the run, to write.
      experiment: what the state belongs to.
      config: `checkpoint.on_damage` says what to do about damage.
      domains: of the data.

    Raises:
      UserError: where no step can be taken from the checkpoint.
    """
    if checkpoints.latest() is None:
        return Start(0, None, {})

    def read(step: int) -> Start:
        about = checkpoints.about(step)
        _check(about, step, config, domains)
        return Start(step, checkpoints.restore(step, experiment.abstract_state), about)

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


def _check(about: dict[str, Any], step: int, config: Any, domains: tuple[str, ...]) -> None:
    """Refuses to go on from a checkpoint whose steps or labels would mean something else now.

    Raises:
      UserError: where batch size or domains differ.
    """
    if about['images'] != step * config.batch_size:
        raise UserError(
            f'batch_size is {config.batch_size}; the checkpoint of step {step} has seen {about["images"]} images, '
            f'{about["images"] // step} a step, and a run cannot change that'
        )
    if tuple(about['domains']) != tuple(domains):
        raise UserError(
            f'the data has the domains {", ".join(domains)}; the run was started with {", ".join(about["domains"])}'
        )
