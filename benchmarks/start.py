"""What the time up to a training's first step is made of, with an empty and with a full compilation cache.

    python -m benchmarks.start

For `configs/quickstart.py`, or `--config=MODULE`; data must be prepared. Seconds, each start a process of its own.
"""

import argparse
import importlib
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import rich.console
import rich.table

ROOT = pathlib.Path(__file__).parents[1]
WATCHED = {
    '/jax/core/compile/jaxpr_trace_duration': 'tracing',
    '/jax/core/compile/jaxpr_to_mlir_module_duration': 'lowering',
    '/jax/core/compile/backend_compile_duration': 'compiling, or reading the cache',
}


def start(module: str, cache: str) -> dict[str, float]:
    """Returns the seconds of every part; to be called once in a process."""
    marks = [('start', time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter()))

    from gan_transfer import xla_flags

    xla_flags.set_flags()
    import jax

    from gan_transfer import data, sharding
    from gan_transfer.experiment import make_experiment

    jax.config.update('jax_compilation_cache_dir', cache)
    inside = dict.fromkeys(WATCHED.values(), 0.0)

    def listen(event: str, seconds: float, **_: object) -> None:
        if event in WATCHED:
            inside[WATCHED[event]] += seconds

    jax.monitoring.register_event_duration_secs_listener(listen)
    mark('imports')
    config = importlib.import_module(module).get_config()
    dataset = data.open_dataset(config)
    mark('opening the data')
    experiment = make_experiment(config, domains=len(dataset.domains), mesh=sharding.make_mesh())
    state = jax.block_until_ready(experiment.init(config.seed))
    mark('networks and first state')
    method = experiment.method
    pipeline = data.make_pipeline(
        dataset,
        config,
        fields=method.batch_fields,
        sampling=method.sampling,
        latent_size=method.latent_size,
        mesh=experiment.mesh,
    )
    batch = next(pipeline)
    mark('first batch')
    before = dict(inside)
    jax.block_until_ready(experiment.train_step(state, batch, jax.random.key(config.seed)))
    mark('step')
    parts = {name: at - last for (_, last), (name, at) in itertools.pairwise(marks)}
    of_step = {f'step: {name}': seconds - before[name] for name, seconds in inside.items()}
    return parts | of_step | {'in all': marks[-1][1] - marks[0][1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--config', default='configs.quickstart', help='module of the config')
    parser.add_argument('--cache', default='', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cache:
        print(json.dumps(start(arguments.config, arguments.cache)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        command = [
            sys.executable,
            '-m',
            'benchmarks.start',
            f'--config={arguments.config}',
            f'--cache={cache}',
        ]
        for _ in range(3):
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    table = rich.table.Table('', 'empty cache', 'full cache', 'again')
    for name in rows[0]:
        table.add_row(name, *(f'{row[name]:.2f}' for row in rows))
    rich.console.Console().print(table)


if __name__ == '__main__':
    main()
