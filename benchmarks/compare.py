"""Times our steps and translation against PyTorch's and ONNX Runtime's, on the same machine in the same run.

    make benchmark
    python -m benchmarks.compare --gpu  # where jax and torch have one

Every side is a process of its own with all cores; rounds go from side to side, so that a machine whose speed drifts
drifts for all of them. Writes `--output` (JSON) and prints a table: medians, ratios of the medians, and what share of
the matrix-product peak the useful products make up (those of the PyTorch twin, as PyTorch counts them).
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import rich.console
import rich.table

from benchmarks.tasks import EVERY_TASK, GPU_TASKS, TASKS, Task
from benchmarks.workers import THREADS

ROOT = pathlib.Path(__file__).parents[1]


class Side:
    """A worker: `about` what it built, then runs on demand."""

    def __init__(self, name: str, index: int, folder: str):
        command = [sys.executable, '-m', 'benchmarks.workers', name, str(index), folder]
        # On a GPU several programs share the memory.
        environment = {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.name, self.runs = name, []
        self.about = self._answer()

    def _answer(self) -> dict[str, Any]:
        for line in self.process.stdout:
            if line.startswith('{'):
                return json.loads(line)
        raise RuntimeError(f'{self.name} ended with status {self.process.wait()}')

    def run(self) -> None:
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        self.runs.append(self._answer())

    def close(self) -> dict[str, Any]:
        self.process.stdin.close()
        self.process.wait()
        seconds = [run['seconds'] for run in self.runs]
        return {
            **self.about,
            'seconds': seconds,
            'median_seconds': statistics.median(seconds),
            'peak_memory_gib': self.runs[-1]['peak_memory_gib'],
        }


def measure(task: Task, rounds: int) -> dict[str, Any]:
    """Returns what each side took, and the matrix-product peak of the same rounds."""
    with tempfile.TemporaryDirectory() as folder:
        # PyTorch first: it leaves weights and picture for the others.
        order = sorted(task.sides, key=lambda side: side != 'pytorch')
        sides = [Side(name, EVERY_TASK.index(task), folder) for name in (*order, 'matrix_product')]
        for _ in range(rounds):
            for side in sides:
                side.run()
        measured = {side.name: side.close() for side in sides}
    peak = measured.pop('matrix_product')
    flops_per_second = peak['flops'] / peak['median_seconds']
    fastest = min(measured[side]['median_seconds'] for side in measured if side.startswith('pytorch'))
    mine = measured['ours']['median_seconds']
    return {
        'task': task.name,
        'sides': measured,
        'peak_gflops': flops_per_second / 1e9,
        'times_as_fast_as_pytorch': measured['pytorch']['median_seconds'] / mine,
        'times_as_fast_as_pytorch_at_its_best': fastest / mine,
        'share_of_peak': measured['pytorch']['flops'] / mine / flops_per_second,
    }


def show(results: list[dict[str, Any]], console: rich.console.Console) -> None:
    table = rich.table.Table('task', 'ours', 'PyTorch', 'channels last', 'ONNX Runtime', 'ratio', 'of peak')
    for result in results:
        seconds = [
            f'{result["sides"][side]["median_seconds"]:#.4g} s' if side in result['sides'] else ''
            for side in ('ours', 'pytorch', 'pytorch_channels_last', 'onnxruntime')
        ]
        ratio = f'{result["times_as_fast_as_pytorch_at_its_best"]:.2f}'
        table.add_row(result['task'], *seconds, ratio, f'{result["share_of_peak"]:.0%}')
    console.print(table)
    console.print('ratio: times as fast as the faster of the two PyTorch columns')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--rounds', type=int, default=5, help='counted runs of each side')
    parser.add_argument('--only', default='', help='tasks whose name has this in it')
    parser.add_argument('--gpu', action='store_true', help='the tasks for an 80 GB GPU')
    parser.add_argument('--output', default='', help='JSON file to write')
    arguments = parser.parse_args()
    console = rich.console.Console(soft_wrap=True, highlight=False)
    results = []
    for task in GPU_TASKS if arguments.gpu else TASKS:
        if arguments.only in task.name:
            results.append(measure(task, arguments.rounds))
            show(results[-1:], console)
    show(results, console)
    if arguments.output:
        machine = {'processor': platform.machine(), 'cores': THREADS, 'python': platform.python_version()}
        machine |= {name: importlib.metadata.version(name) for name in ('jax', 'torch')}
        document = {'machine': machine, 'results': results}
        pathlib.Path(arguments.output).write_text(json.dumps(document, indent=2) + '\n')


if __name__ == '__main__':
    main()
