"""Which states an evaluation in the middle of a training keeps as the best, whatever their values are."""

import math
import types

import pytest

from configs import common
from gan_transfer.evaluation import in_training


class Kept:
    """In place of checkpoints: which steps were saved, and from which on they were set aside."""

    def __init__(self):
        self.saved, self.aside = [], []

    def latest(self):
        return None

    def save(self, step, state, about):
        self.saved.append(step)

    def set_aside(self, step):
        self.aside.append(step)

    def wait(self):
        pass


@pytest.fixture
def make(monkeypatch):
    """Makes evaluations that come to `values` of the headline, with what they keep."""

    def make(*values):
        kept, left = Kept(), iter(values)

        class Evaluator:
            headline = 'default', 'kid_vgg16'

            def __call__(self, translate):
                return {'default': {'mean': {'kid_vgg16': next(left)}}}

        monkeypatch.setattr(in_training, 'Evaluator', lambda *_, **__: Evaluator())
        monkeypatch.setattr(in_training, 'Translator', lambda *_, **__: None)
        monkeypatch.setattr(in_training, 'Checkpoints', lambda *_, **__: kept)
        dataset = types.SimpleNamespace(domains=('a', 'b'), test_images={})
        experiment = types.SimpleNamespace(method=types.SimpleNamespace(directions=lambda _: ((0, 1),)))
        return in_training.InTraining(common.get_config(), 'workdir', dataset, experiment), kept

    return make


def evaluate(evaluation, *steps):
    for step in steps:
        evaluation(step, None, {}, lambda: False)


def test_the_first_of_equal_states_is_the_best(make):
    evaluation, kept = make(0.5, 0.5, 0.4, math.nan, 0.6)
    evaluate(evaluation, *range(5))
    assert kept.saved == [0, 2]


def test_a_best_state_stays_where_the_run_goes_back_to_its_very_step(make):
    evaluation, kept = make(0.5, 0.7)
    evaluate(evaluation, 8)
    evaluation.forget_after(8)
    assert not kept.aside
    evaluation.forget_after(7)
    assert kept.aside == [8]
    evaluate(evaluation, 12)
    assert kept.saved == [8, 12], 'nothing is better than what comes next'
