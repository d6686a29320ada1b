"""Meshes: which there are, who holds what on them, and that no layout of devices or processes changes a gradient."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from configs import common
from gan_transfer import sharding
from gan_transfer.compile import hlo
from gan_transfer.compile.compile_step import lower_step
from gan_transfer.errors import UserError
from gan_transfer.experiment import make_experiment
from tests import command, tiny


@pytest.mark.parametrize(
    ('devices', 'asked', 'sizes'),
    [
        (8, {}, (8, 1, 1)),
        (8, {'fsdp': 4}, (2, 4, 1)),
        (8, {'fsdp': 2, 'spatial': 2}, (2, 2, 2)),
        (8, {'data': 1, 'fsdp': 1, 'spatial': 8}, (1, 1, 8)),
        (1, {}, (1, 1, 1)),
    ],
)
def test_data_takes_the_devices_that_are_left(devices, asked, sizes):
    assert sharding.mesh_sizes(devices, **asked) == sizes


@pytest.mark.parametrize(
    ('asked', 'parts'),
    [
        ({'data': 3, 'fsdp': 2}, ('3 x 2 x 1 = 6', '8 device(s)')),
        ({'fsdp': 3}, ('mesh.fsdp x mesh.spatial is 3 x 1 = 3', '8 device(s)')),
        ({'data': 16}, ('16 x 1 x 1 = 16', '8 device(s)')),
        ({'spatial': 0}, ('mesh.spatial is 0', 'from 1 on')),
        ({'data': -1}, ('mesh.data is -1', 'from 0 on')),
    ],
)
def test_a_mesh_that_does_not_fit_is_one_line(asked, parts):
    config = common.get_config()
    config.mesh.update(asked)
    with pytest.raises(UserError) as caught:
        common.validate(config, num_devices=8)
    assert '\n' not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_batch_and_height_are_divided_by_their_parts_of_the_mesh():
    config = common.get_config()
    config.batch_size, config.mesh.spatial = 4, 4
    common.validate(config, num_devices=8)
    config.batch_size = 3
    with pytest.raises(UserError, match=r'batch_size is 3; 2 device\(s\).*multiple of 2'):
        common.validate(config, num_devices=8)
    config.batch_size, config.image_size, config.mesh.spatial = 4, 68, 8
    with pytest.raises(UserError, match=r'image_size is 68; mesh.spatial, 8, must divide it'):
        common.validate(config, num_devices=8)


@pytest.mark.parametrize(
    ('shape', 'axis'),
    [((3, 3, 64, 32), 2), ((3, 3, 32, 32), 2), ((3, 6), 1), ((7, 5), sharding.WHOLE), ((), sharding.WHOLE)],
)
def test_fsdp_splits_the_largest_axis_that_it_divides(shape, axis):
    leaf = sharding.parameter_sharding(sharding.make_mesh(fsdp=2), shape)
    assert sharding.split_axis(leaf.spec) == axis
    wanted = [size // 2 if place == axis else size for place, size in enumerate(shape)]
    assert list(leaf.shard_shape(shape)) == wanted


def test_translating_takes_of_a_training_s_mesh_what_the_devices_allow():
    def sizes(devices, **mesh):
        return tuple(sharding.inference_mesh(jax.devices()[:devices], **mesh).shape.values())

    pod = {'data': 64, 'fsdp': 2, 'spatial': 2}
    assert [sizes(devices, **pod) for devices in (1, 2, 3, 4)] == [(1, 1, 1), (1, 1, 2), (3, 1, 1), (1, 2, 2)]


@pytest.mark.xdist_group('cyclegan')
def test_a_run_opens_on_devices_that_divide_neither_its_batch_nor_its_height():
    config = tiny.make_config('cyclegan', image_size=32)
    config.mesh.spatial = 3
    mesh = sharding.inference_mesh(jax.devices()[:3], **config.mesh)
    pools = jax.tree.leaves(make_experiment(config, domains=2, mesh=mesh).init(0).memory)
    assert pools
    assert all(pool.sharding.is_fully_replicated for pool in pools)


def test_a_mesh_that_cannot_be_is_refused_without_devices_too():
    config = tiny.make_config('cyclegan')
    config.mesh.spatial = 0
    with pytest.raises(UserError, match=r'mesh.spatial is 0; it must be from 1 on'):
        common.validate(config)


def test_a_global_array_is_made_of_the_rows_that_a_process_has():
    mesh = sharding.make_mesh(fsdp=2, spatial=2)
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 4, 3), np.uint8)
    rows = sharding.process_rows(mesh, 6)
    assert rows.tolist() == list(range(6))
    made = sharding.to_devices(mesh, images, rows, 6)
    np.testing.assert_array_equal(made, images)
    assert made.addressable_shards[0].data.shape == (3, 4, 4, 3)


@pytest.mark.parametrize(('height', 'part'), [(8, 4), (7, 7)])
def test_heights_that_cannot_be_split_stay_whole(height, part):
    mesh = sharding.make_mesh(jax.devices()[:2], spatial=2)
    images = np.arange(height * 12, dtype=np.float32).reshape(1, height, 4, 3)
    made = sharding.from_all(mesh, images)
    assert made.addressable_shards[0].data.shape == (1, part, 4, 3)
    np.testing.assert_array_equal(made, images)


@pytest.mark.xdist_group('cyclegan')
def test_devices_that_share_an_image_exchange_its_borders_alone():
    """Maps are 16 rows high or more; what a device collects from the others are no more than 8 rows of any."""
    config = tiny.make_config('cyclegan', image_size=64, batch_size=1, method={'discriminator_depth': 1})
    experiment = make_experiment(config, domains=2, mesh=sharding.make_mesh(spatial=4))
    program = hlo.parse(lower_step(config, experiment).compile().as_text())
    gathered = [
        array.shape
        for instructions in program.computations.values()
        for instruction in instructions
        if instruction.opcode.startswith('all-gather')
        for array in instruction.arrays
    ]
    assert gathered
    assert max(shape[1] for shape in gathered) <= 8, gathered


def start(devices, *arguments, port=0):
    """Starts `tests.gradients` with so many devices of its own."""
    flags = f'--xla_backend_optimization_level=0 --xla_force_host_platform_device_count={devices}'
    environment = {**os.environ, 'XLA_FLAGS': flags, 'JAX_COORDINATOR_BIND_ADDRESS': f'127.0.0.1:{port}'}
    return subprocess.Popen(
        [sys.executable, '-m', 'tests.gradients', *arguments],
        cwd=command.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def equal_ones(*processes):
    """Returns for each process what it found equal."""
    results = [process.communicate(timeout=600) for process in processes]
    for process, (out, err) in zip(processes, results, strict=True):
        assert process.returncode == 0, out + err
    return [[line for line in out.splitlines() if line.endswith(' equal')] for out, _ in results]


# With an image pool; with batch statistics; with contrasts of places, in the generator's features and a frozen one's,
# and with augmentation.
METHODS = [(name, ('8x1x1', '2x4x1', '2x2x2')) for name in ('cyclegan', 'pix2pix')] + [
    ('cut:features', ('2x2x2',))
]


@pytest.mark.slow
@pytest.mark.parametrize(('method', 'layouts'), METHODS)
def test_eight_devices_give_the_gradients_of_one(method, layouts):
    assert equal_ones(start(8, method, ','.join(layouts))) == [[f'{method} {x} equal' for x in layouts]]


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one_device():
    """Batch and parameters are divided between the processes, the images' height within each."""
    port = command.free_port()
    where = (f'127.0.0.1:{port}', '2')
    found = equal_ones(*(start(2, 'pix2pix', '1x2x2', *where, str(index), port=port) for index in range(2)))
    assert found == [['pix2pix 1x2x2 equal']] * 2
