"""Trainings that are killed, damaged, out of disk or diverged: what they come to, and what they leave."""

import json
import random
import signal
import time

import numpy as np
import pytest

from gan_transfer import data as data_lib
from gan_transfer.checkpoint import BEST, DIGEST, FINGERPRINTS, NEWEST, Checkpoints
from tests import command, events, smallest
from tests.forked_runs import ForkedRuns

pytestmark = pytest.mark.xdist_group('survival')
TIMES = ('seconds', 'images_per_second')
LONG = {'train_images': 1120, 'evaluate_every_images': 80, 'sample_every_images': 112}  # 280 steps


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return command.side_by_side_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def runs():
    with ForkedRuns() as runs:
        yield runs


@pytest.fixture(scope='module')
def uninterrupted(runs, data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('runs') / 'uninterrupted'
    status, output = runs.finish(data, workdir, **LONG)
    assert status == 0, output
    return workdir


def metrics(workdir):
    """Every line but its times; a line cut short by a kill is none."""
    path = workdir / 'metrics.jsonl'
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    values = [json.loads(line) for line in lines if line.endswith('\n')]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in values]


def steps(workdir, folder=NEWEST):
    return sorted(int(path.name) for path in (workdir / folder).glob('*') if path.name.isdecimal())


def about(workdir, step, folder=NEWEST):
    checkpoints = Checkpoints(workdir, folder=folder)
    try:
        return checkpoints.about(step)
    finally:
        checkpoints.close()


def left_by(workdir):
    """All that a run leaves, without its times: two runs that leave the same went the same way to the bit.

    Fingerprints are taken from the arrays before they are saved, not from files.
    """
    shown = {
        step: {name: value for name, value in values.items() if name not in TIMES}
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


def saving(workdir):
    return any(workdir.glob('*/*.orbax-checkpoint-tmp'))


def evaluating(workdir):
    """Whether the newest line is of a step that is evaluated, and not yet that of its evaluation."""
    lines = metrics(workdir)[-1:]
    return any(
        line['images'] % LONG['evaluate_every_images'] == 0 and 'generator/l1' in line for line in lines
    )


def kill(run, workdir, moment, generator):
    """Kills a run at a random point, after some progress: while it saves, while it evaluates, or anywhere.

    Returns what it was doing by what it left, or None where it had ended before.
    """
    doing = {'saving': saving, 'evaluating': evaluating, 'anywhere': lambda _: True}[moment]
    goal = max(steps(workdir), default=0) + generator.choice((0, 0, 4, 8, 16))
    while not (max(steps(workdir), default=0) >= goal and doing(workdir)) and not run.ended():
        time.sleep(0.0005)
    time.sleep(generator.uniform(0, 0.3 if moment == 'anywhere' else 0.02))
    run.send(signal.SIGKILL)
    if run.wait() != -signal.SIGKILL:
        return None
    return 'saving' if saving(workdir) else 'evaluating' if evaluating(workdir) else 'anywhere'


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_as_one_that_was_not(runs, data, uninterrupted, tmp_path):
    workdir, generator = tmp_path / 'killed', random.Random(0)
    found = []
    for i in range(24):
        moment = ('anywhere', 'saving', 'evaluating')[i % 3]
        found.append(kill(runs.start(data, workdir, **LONG), workdir, moment, generator))
    status, output = runs.finish(data, workdir, **LONG)
    assert status == 0, output
    assert sum(moment is not None for moment in found) >= 20, found
    assert {'saving', 'evaluating'} <= set(found)
    assert left_by(workdir) == left_by(uninterrupted)
