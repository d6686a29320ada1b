"""Devices that are not there, as JAX's compilers describe them."""

import importlib.util
import os
from typing import Any

import jax
from jax.experimental import topologies

from gan_transfer.compile.chips import GPUS_PER_HOST, Slice
from gan_transfer.errors import UserError

# libtpu asks the network and logs to files, unless told what it would find out.
_LIBTPU = {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_WORKER_ID': '0',
    'TPU_LOG_DIR': 'disabled',
    'TPU_STDERR_LOG_LEVEL': '3',
    'TPU_MIN_LOG_LEVEL': '3',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # nothing is run: several compilations may go on at once
}
# A `GpuTargetConfigProto` of XLA, from an H100 SXM5 of 80 GB: what `jax.experimental.topologies` would read there.
_H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 patch: 0 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  shared_memory_per_core: 233472
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
"""
# Without a GPU the compiler cannot try out which of its kernels is the fastest.
_GPU_OPTIONS = {'xla_gpu_autotune_level': '0'}


def devices(part: Slice) -> list[Any]:
    """Returns the devices of a slice that is not there, to compile for; this process runs on its CPU.

    To be called before JAX's first use of a device.

    Raises:
      UserError: without the compiler's package.
    """
    package, install = {
        'tpu': ('libtpu', '-r requirements-tpu-compile.txt'),
        'cuda': (
            'jax_cuda12_plugin',
            f'--no-deps jax-cuda12-pjrt=={jax.__version__} jax-cuda12-plugin=={jax.__version__}',
        ),
    }[part.chip.platform]
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f'--topology={part.name} needs the package {package}, the compiler: pip install {install}'
        )
    jax.config.update('jax_platforms', 'cpu')
    if part.chip.platform == 'cuda':
        hosts = -(-part.devices // GPUS_PER_HOST)
        shape = f'1x{hosts}x{part.devices // hosts}'
        return list(
            topologies.get_topology_desc(platform='cuda', target_config=_H100, topology=shape).devices
        )
    for name, value in _LIBTPU.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {}
    if part.devices == 1:
        options['chips_per_host_bounds'] = (1, 1, 1)
    if part.name.startswith('v4:'):
        options['chip_config_name'] = 'megacore'  # both cores of a chip as one device
    if any(part.wrap):
        options['wrap'] = (*part.wrap, False)[:3]
    return list(topologies.get_topology_desc(platform='tpu', topology_name=part.name, **options).devices)


def compiler_options(part: Slice | None) -> dict[str, str]:
    """Returns what the compiler must be told for devices that are not there; None: they are."""
    return dict(_GPU_OPTIONS) if part is not None and part.chip.platform == 'cuda' else {}
