"""Named protocols of evaluation, and what runs them: on a trained run, in the middle of a training, on two folders."""

from gan_transfer.evaluation.evaluator import Evaluator
from gan_transfer.evaluation.folders import compare_folders

__all__ = ['Evaluator', 'compare_folders']
