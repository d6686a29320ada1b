"""Named protocols of evaluation, and what runs them: on a trained run, in the middle of a training, on two folders."""

from gan_transfer.evaluation.evaluator import Evaluator, Results
from gan_transfer.evaluation.folders import compare_folders
from gan_transfer.evaluation.protocols import PROTOCOLS

__all__ = ['PROTOCOLS', 'Evaluator', 'Results', 'compare_folders']
