"""Memory of a training step, and what rematerialization, bfloat16 and accumulation save of it.

    python -m benchmarks.memory

Nothing runs: the compiler's own plan of its buffers tells. `temporary` is what a step needs beside the state (weights,
optimizer states, averages), which is listed too.
"""

import argparse
import importlib
import json
import pathlib
from typing import Any

import rich.console
import rich.table

from benchmarks.batches import DOMAINS, random_batch
from gan_transfer import xla_flags

BATCH, SIZE = 4, 128
VARIANTS: dict[str, dict[str, Any]] = {
    'plain': {},
    'rematerialize': {'rematerialize': True},
    'bfloat16': {'compute_dtype': 'bfloat16'},
    'accumulation 4': {'accumulation': 4},
    'all three': {'rematerialize': True, 'compute_dtype': 'bfloat16', 'accumulation': 4},
}


def measure(method: str, variant: str) -> dict[str, float]:
    """Returns GiB of the state and of what a step needs beside it."""
    import jax

    from gan_transfer import sharding
    from gan_transfer.experiment import make_experiment

    config = importlib.import_module(f'configs.{method}').get_config(f'size={SIZE}')
    config.update({'batch_size': BATCH, **VARIANTS[variant]})
    mesh = sharding.make_mesh(jax.local_devices()[:1])
    experiment = make_experiment(config, domains=DOMAINS, mesh=mesh)
    batch, key = random_batch(experiment.method, BATCH, SIZE), jax.random.key(0)
    plan = experiment.train_step.lower(experiment.abstract_state, batch, key).compile().memory_analysis()
    return {
        'state': plan.argument_size_in_bytes / 2**30,
        'temporary': plan.temp_size_in_bytes / 2**30,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--methods', nargs='+', default=['cyclegan', 'cut', 'pix2pix', 'stargan_v2'])
    parser.add_argument('--output', default='', help='JSON file to write')
    arguments = parser.parse_args()
    xla_flags.set_flags()
    results = {method: {v: measure(method, v) for v in VARIANTS} for method in arguments.methods}
    table = rich.table.Table(f'GiB at {SIZE} px, batch {BATCH}', 'state', *VARIANTS)
    for method, found in results.items():
        sizes = [f'{found[variant]["temporary"]:.2f}' for variant in VARIANTS]
        table.add_row(method, f'{found["plain"]["state"]:.2f}', *sizes)
    rich.console.Console().print(table)
    if arguments.output:
        pathlib.Path(arguments.output).write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
