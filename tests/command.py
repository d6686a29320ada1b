"""Runs `launch.py` as a user does, and makes small data for it."""

import functools
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import PIL.Image

from tests import forked_launch

ROOT = pathlib.Path(__file__).parents[1]
TINY_CYCLEGAN = (
    '--config=configs/cyclegan.py:size=32,tiny',
    '--config.method.generator_blocks=1',
    '--config.method.discriminator_depth=2',
    '--config.method.pool_size=8',
    '--config.average_decay=0.9',
    '--config.optimizer.schedule=constant',
    '--config.batch_size=4',
    '--config.sample_rows=4',
    '--config.log_every_images=8',
    '--config.sample_every_images=32',
    '--config.checkpoint_every_images=16',
)


TIMES = ('seconds', 'images_per_second')  # what two runs that are equal to the bit do not share


def tiny_training(data: pathlib.Path) -> tuple[str, ...]:
    """Arguments of 16 steps on `folder_data`."""
    return (
        *TINY_CYCLEGAN,
        '--config.train_images=64',
        '--config.data.domains=day,night',
        '--config.data.source=folder',
        f'--config.data.path={data}',
    )


def without_times(metrics: str) -> list[dict[str, Any]]:
    """Returns the lines of `metrics.jsonl`; one that was cut short by a kill is none."""
    lines = [json.loads(line) for line in metrics.splitlines(keepends=True) if line.endswith('\n')]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def two_devices() -> dict[str, str]:
    """Two devices, so that every run is one over several."""
    flags = '--xla_backend_optimization_level=1 --xla_force_host_platform_device_count=2'
    return {**os.environ, 'XLA_FLAGS': flags, 'COLUMNS': '160'}


def start(*arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> subprocess.Popen:
    """Starts launch.py, with more in its environment."""
    return subprocess.Popen(
        [sys.executable, 'launch.py', *arguments],
        cwd=ROOT,
        env={**two_devices(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_both(*arguments: str) -> list[subprocess.Popen]:
    """Starts two processes of launch.py as one run, of one device each."""
    return [start(*own, environment=environment) for own, environment in _of_one_run(arguments)]


def fork_both(
    *arguments: str,
    environment: Mapping[str, str] = MappingProxyType({}),
    environments: Sequence[Mapping[str, str]] = ({}, {}),
) -> list[forked_launch.Launched]:
    """Forks them, which saves them their imports, with more in their environment; `environments` are of each one's."""
    return [
        forked_launch.Launched(_parent(), *own, environment={**shared, **environment, **more})
        for (own, shared), more in zip(_of_one_run(arguments), environments, strict=True)
    ]


def _of_one_run(arguments: Sequence[str]) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """Returns the arguments and the environment of each of two processes that are one run."""
    port = free_port()
    flags = '--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=1'
    environment = {'XLA_FLAGS': flags, 'JAX_COORDINATOR_BIND_ADDRESS': f'127.0.0.1:{port}'}
    where = (f'--coordinator=127.0.0.1:{port}', '--process_count=2')
    return [((*arguments, *where, f'--process_index={index}'), environment) for index in range(2)]


def end(process: subprocess.Popen | forked_launch.Launched) -> tuple[int, str, list[str]]:
    """Returns status, output and lines of the standard error; a process that hangs is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    return process.returncode, out, [line for line in err.splitlines() if line.strip()]


def free_port() -> int:
    """Returns a port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]


def launch(
    *arguments: str, status: int = 0, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess:
    """Runs launch.py, with more in its environment, to its end, which must be with `status`."""
    process = forked_launch.Launched(_parent(), *arguments, environment=environment)
    out, err = process.communicate()
    assert process.returncode == status, f'exit status {process.returncode}\n{out}\n{err}'
    return subprocess.CompletedProcess(arguments, status, out, err)


@functools.cache
def _parent() -> subprocess.Popen:
    return forked_launch.start(two_devices())


def error_line(*arguments: str, status: int = 2) -> str:
    """Runs launch.py, which must fail with one line, and returns it."""
    lines = launch(*arguments, status=status).stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith('error: ')
    return lines[0]


def picture(seed: int, height: int = 40, width: int = 40, *, dark: bool = False) -> np.ndarray:
    """Returns a coloured rectangle on white, or on black."""
    generator = np.random.default_rng(seed)
    image = np.full((height, width, 3), 0 if dark else 255, np.uint8)
    y, x = generator.integers(4, 16, 2)
    image[y : y + height // 3, x : x + width // 3] = generator.integers(0, 255, 3)
    return image


def write(path: pathlib.Path, image: np.ndarray) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)
    return path


def folder_data(path: pathlib.Path, train: int = 9, test: int = 3) -> pathlib.Path:
    """Makes `train` and `test` images of the domains `day` and `night`."""
    for split, count in (('train', train), ('test', test)):
        for label, domain in enumerate(('day', 'night')):
            for i in range(count):
                image = picture(100 * label + i + 1000 * (split == 'test'), dark=bool(label))
                write(path / split / domain / f'{i}.png', image)
    return path


def side_by_side_data(path: pathlib.Path, train: int = 9, test: int = 3) -> pathlib.Path:
    """Makes pairs of images, the second of which is the negative of the first."""
    for split, count in (('train', train), ('test', test)):
        for i in range(count):
            image = picture(i + 1000 * (split == 'test'))
            write(path / split / f'{i}.png', np.concatenate([image, 255 - image], axis=1))
    return path


def two_processes_training(data: pathlib.Path) -> tuple[str, ...]:
    """Arguments of a training that compiles fast, its parameters split over two processes; makes its data."""
    return (
        *('--config=configs/pix2pix.py:size=32,tiny', '--config.method.generator_depth=4'),
        *('--config.optimizer.schedule=constant', '--config.data.source=folder', '--config.mesh.fsdp=2'),
        *('--config.log_every_images=8', f'--config.data.path={side_by_side_data(data)}'),
    )
