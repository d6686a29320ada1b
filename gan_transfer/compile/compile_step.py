"""Compiles the training step of a config, without data or weights, and says what the program will need."""

import importlib.metadata
import json
import math
import time
from typing import Any

import jax

from gan_transfer import data, sharding, storage
from gan_transfer.compile import costs, tables, target
from gan_transfer.compile.chips import Chip, Slice, find_chip, find_slice
from gan_transfer.compile.hlo import parse
from gan_transfer.compile.roofline import estimate
from gan_transfer.errors import UserError, check_folder, from_user
from gan_transfer.experiment import Experiment, make_experiment

DOMAINS = 2  # where the config leaves it to the data


def compile_step(
    config: Any, *, topology: str | None = None, output: str | None = None, overwrite: bool = False
) -> int:
    """Compiles the step for devices that are there, or for those of a slice that is not, and prints the report.

    Args:
      config: the resolved config; its batch is that of all devices.
      topology: name of a slice; None: the devices of this process.
      output: file that the report is written to as JSON.
      overwrite: replace `output` where it exists.

    Returns:
      the exit status: 0, or 1 where the step does not fit into a device's memory.

    Raises:
      UserError: for an unknown slice, without the package that compiles for it, where `output` cannot be written.
    """
    if output is not None:
        with from_user():
            _check_output(storage.place(output), overwrite=overwrite)
    part = find_slice(topology) if topology else None
    devices = target.devices(part) if part else jax.devices()
    chip = part.chip if part else find_chip(devices[0].device_kind)
    mesh = sharding.make_mesh(devices, **config.mesh)
    experiment = make_experiment(config, domains=len(config.data.domains) or DOMAINS, mesh=mesh)
    report = describe(config, experiment, part, devices)
    started = time.monotonic()
    try:
        compiled = lower_step(config, experiment).compile(target.compiler_options(part))
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        report |= {'fits': False, 'refused': str(error).splitlines()[0]}
    else:
        report['compile_seconds'] = round(time.monotonic() - started, 1)
        report |= measure(compiled, config, part, chip)
    print(tables.summary(report))
    if output is not None:
        with from_user():
            text = json.dumps(report, indent=2) + '\n'
            storage.write(storage.place(output), text.encode())
    return 1 if report['fits'] is False else 0


def lower_step(config: Any, experiment: Experiment) -> jax.stages.Lowered:
    """Returns the step as the training runs it, for the experiment's mesh; nothing is allocated."""
    method = experiment.method
    batch = data.abstract_batch(config, method.batch_fields, method.latent_size, experiment.mesh)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return experiment.train_step.lower(experiment.abstract_state, batch, key)


def describe(config: Any, experiment: Experiment, part: Slice | None, devices: list[Any]) -> dict[str, Any]:
    """Returns what was asked for."""
    versions = {name: importlib.metadata.version(name) for name in ('jax', 'jaxlib')}
    if part is not None:
        package = {'tpu': 'libtpu', 'cuda': 'jax-cuda12-plugin'}[part.chip.platform]
        versions[package] = importlib.metadata.version(package)
    parameters = jax.tree.leaves(experiment.abstract_state.params)
    return {
        'method': config.method.name,
        'image_size': config.image_size,
        'batch_size': config.batch_size,
        'batch_per_device': config.batch_size // sharding.batch_parts(experiment.mesh),
        'accumulation': config.accumulation,
        'domains': len(config.data.domains) or DOMAINS,
        'compute_dtype': config.compute_dtype,
        'rematerialize': config.rematerialize,
        'parameters': sum(math.prod(leaf.shape) for leaf in parameters),
        'topology': part.name if part else 'present',
        'device_kind': devices[0].device_kind,
        'devices': len(devices),
        'mesh': dict(experiment.mesh.shape),
        'optimization_level': jax.config.jax_optimization_level,
        'versions': versions,
    }


def measure(
    compiled: jax.stages.Compiled, config: Any, part: Slice | None, chip: Chip | None
) -> dict[str, Any]:
    """Returns what the compiled program tells, and what follows from the chip's speeds."""
    program = parse(compiled.as_text())
    collectives, traffic = costs.collectives(program), costs.traffic(program)
    memory = compiled.memory_analysis()
    # On GPUs the compiler counts nothing of what libraries do, and for those that are not there nothing at all: there
    # our own count, of convolutions alone and unpadded.
    own = costs.library_flops(program)
    counted = {} if own else compiled.cost_analysis() or {}
    flops = own or counted.get('flops') or None
    moved = counted.get('bytes accessed')
    if not moved:
        moved = costs.total(traffic.values()).bytes
    elif costs.uses_fast_memory(program):  # which the compiler's count takes in, at the speed of main memory
        moved = costs.total(traffic.values()).padded_bytes
    found = {
        'memory': {
            'peak_bytes': memory.peak_memory_in_bytes,
            'arguments_bytes': memory.argument_size_in_bytes,
            'donated_bytes': memory.alias_size_in_bytes,
            'program_bytes': memory.generated_code_size_in_bytes,
            'device_bytes': chip.memory if chip else None,
        },
        'flops': flops,
        'bytes': moved,
        'counted_by': 'compiler' if counted.get('flops') else 'program text',
        'traffic': {
            kind: {'count': one.count, 'bytes': one.bytes, 'padded_bytes': one.padded_bytes}
            for kind, one in traffic.items()
            if one.padded_bytes >= 1e6
        },
        'collectives': _counted(collectives),
        'loops': program.count('while'),
        'branches': program.count('conditional'),
        'fits': None,
        'roofline': None,
    }
    if chip is None:
        return found
    needed = memory.peak_memory_in_bytes + memory.generated_code_size_in_bytes
    found['fits'] = needed <= chip.memory
    if flops and config.accumulation == 1:  # otherwise they are those of a microbatch: a loop is counted once
        line = estimate(chip, flops, moved, collectives, part, config.compute_dtype)
        found['roofline'] = {
            'compute_seconds': line.compute,
            'memory_seconds': line.memory,
            'exchange_seconds': line.exchange,
            'step_seconds': line.step,
            'images_per_second': config.batch_size / line.step,
            'weak_scaling_efficiency': line.efficiency,
        }
    return found


def _counted(collectives: list[costs.Collective]) -> list[dict[str, Any]]:
    """Returns the collectives, equal ones as one with their count, largest first."""
    counts: dict[costs.Collective, int] = {}
    for one in collectives:
        counts[one] = counts.get(one, 0) + 1
    return [
        {
            **{'opcode': one.opcode, 'dtypes': list(one.dtypes), 'bytes': one.bytes, 'group': one.group},
            'count': count,
        }
        for one, count in sorted(counts.items(), key=lambda item: -item[0].bytes * item[1])
    ]


def _check_output(path: storage.Path, *, overwrite: bool) -> None:
    """Sees before a compilation of minutes that its report can be written."""
    check_folder('output', path.parent)
    with storage.reached(path):
        if path.is_dir():
            raise UserError(f'--output: {path} is a folder, where a file would be written')
        if path.exists() and not overwrite:
            raise UserError(f'{path} exists; --overwrite replaces it')
