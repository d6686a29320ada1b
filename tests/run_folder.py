"""What a run leaves in its folder, for tests that compare runs."""

from gan_transfer.checkpoint import BEST, NEWEST, Checkpoints
from tests import command, events


def metrics(workdir):
    """Every line but its times; a line cut short by a kill is none."""
    path = workdir / 'metrics.jsonl'
    return command.without_times(path.read_text() if path.exists() else '')


def steps(workdir, folder=NEWEST):
    return sorted(int(path.name) for path in (workdir / folder).glob('*') if path.name.isdecimal())


def about(workdir, step, folder=NEWEST):
    checkpoints = Checkpoints(workdir, folder=folder)
    try:
        return checkpoints.about(step)
    finally:
        checkpoints.close()


def flip_a_bit(folder):
    """Damages the largest file in a folder, in its middle."""
    place = max(folder.rglob('*'), key=lambda path: path.stat().st_size)
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)


def left_by(workdir):
    """All that a run leaves, without its times: two runs that leave the same went the same way to the bit.

    Fingerprints are taken from the arrays before they are saved, not from files.
    """
    shown = {
        step: {name: value for name, value in values.items() if name not in command.TIMES}
        for step, values in events.shown(workdir).items()
    }
    kept = {
        (folder, step): about(workdir, step, folder)
        for folder in (NEWEST, BEST)
        for step in steps(workdir, folder)
    }
    for values in kept.values():
        del values['seconds']
    samples = {path.name: path.read_bytes() for path in (workdir / 'samples').iterdir()}
    return {'metrics': metrics(workdir), 'events': shown, 'checkpoints': kept, 'samples': samples}


def error_line(output):
    """The one line of an error, behind what the run has told; nothing else may be in between."""
    *_, line = output.splitlines()
    assert 'Traceback' not in output, output
    assert line.startswith('error: '), output
    return line
