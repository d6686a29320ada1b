"""One side of a comparison in a process of its own: builds a task, then runs it once for each line that it is sent.

    python -m benchmarks.workers SIDE TASK FOLDER

Answers with one JSON object a line: first about the task, then the seconds of each turn's second run. FOLDER is shared
by the sides: translation is of the same weights and the same image, which PyTorch's side leaves there.
"""

import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.batches import DOMAINS, random_batch
from benchmarks.tasks import EVERY_TASK, Task

Built = tuple[Callable[[], object], dict[str, float | str]]
WEIGHTS, ONNX, IMAGE, TRANSLATED = 'generator.npz', 'generator.onnx', 'image.npy', 'translated.npy'
THREADS = len(os.sched_getaffinity(0))


def ours(task: Task, folder: pathlib.Path) -> Built:
    """Our jitted step, or translation, as `launch.py` runs it."""
    import importlib

    from configs import common
    from gan_transfer import host_memory, sharding, xla_flags

    xla_flags.set_flags()
    import jax

    from gan_transfer.experiment import make_experiment

    config = importlib.import_module(f'configs.{task.method}').get_config(f'size={task.size}')
    # The paper's widths, where the config has others.
    options = {'generator_depth': config.method.generator_depth} if task.method == 'pix2pix' else {}
    config.method, config.batch_size = common.method(task.method, **options), task.batch
    config.compute_dtype = task.dtype
    (device, *_) = jax.local_devices()
    if (device.platform == 'cpu') != (task.device == 'cpu'):
        raise RuntimeError(f'the task is for {task.device}; JAX has {device.device_kind}')
    mesh = sharding.make_mesh([device])
    experiment = make_experiment(config, domains=DOMAINS, mesh=mesh)
    if task.kind == 'translate':
        return _our_translation(experiment, folder)
    state, batch = experiment.init(0), random_batch(experiment.method, task.batch, task.size)
    batch = jax.device_put(batch, sharding.batch_sharding(mesh))
    key = jax.device_put(jax.random.key(0), sharding.replicated(mesh))
    started = time.perf_counter()
    step = experiment.train_step.lower(state, batch, key).compile()
    about = {
        'compile_seconds': time.perf_counter() - started,
        'flops_of_xla': step.cost_analysis()['flops'],
        'device': device.device_kind,
    }
    host_memory.keep_freed_memory()

    def run() -> None:
        nonlocal state
        for _ in range(task.steps):
            state, scalars = step(state, batch, key)
        jax.block_until_ready((state, scalars))

    return run, about


def _our_translation(experiment, folder: pathlib.Path) -> Built:
    import jax

    from gan_transfer.importers import cyclegan, layout

    # The names that the published files have.
    arrays = {
        name.replace('layers.', 'model.', 1).replace('.layers.', '.conv_block.'): value
        for name, value in np.load(folder / WEIGHTS).items()
    }
    name = 'generator_a_to_b'
    params = layout.load(cyclegan.ENTRIES[name](arrays), arrays, experiment.abstract_state.params[name])
    images = jax.device_put(np.load(folder / IMAGE).transpose(0, 2, 3, 1))
    translate = jax.jit(lambda p, x: experiment.networks[name].module.apply({'params': p}, x)[0])
    params = jax.device_put(params)
    started = time.perf_counter()
    translate = translate.lower(params, images).compile()
    seconds = time.perf_counter() - started
    error = np.abs(np.asarray(translate(params, images)) - np.load(folder / TRANSLATED).transpose(0, 2, 3, 1))
    return lambda: jax.block_until_ready(translate(params, images)), {
        'compile_seconds': seconds,
        'largest_difference': float(error.max()),
    }


def pytorch(task: Task, folder: pathlib.Path, *, channels_last: bool = False) -> Built:
    """The twin in PyTorch, eager."""
    import torch
    import torch.utils.flop_counter

    from benchmarks import pytorch_networks, pytorch_steps

    torch.set_num_threads(THREADS)
    if task.device == 'cuda':
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision('high')  # TensorFloat-32, as for convolutions and as in JAX
    torch.manual_seed(0)

    def to(value):
        return value.to(memory_format=torch.channels_last) if channels_last else value

    if task.kind == 'step':
        with torch.device(task.device):
            step = pytorch_steps.STEPS[task.method](task.size, task.batch, to)

        def run():
            for _ in range(task.steps):
                # Left after every step: it keeps the weights as they were when they were first cast.
                with torch.autocast(task.device, torch.bfloat16, enabled=task.dtype == 'bfloat16'):
                    step()
            if task.device == 'cuda':
                torch.cuda.synchronize()

        with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
            run()
        return run, {'flops': counter.get_total_flops() / task.steps}
    generator, images = (
        pytorch_networks.ResNetGenerator(),
        torch.rand(task.batch, 3, task.size, task.size) * 2 - 1,
    )
    generator, images = to(generator), to(images)

    @torch.inference_mode()
    def run():
        return generator(images)

    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        translated = run()
    if not channels_last:
        np.savez(folder / WEIGHTS, **{name: value.numpy() for name, value in generator.state_dict().items()})
        np.save(folder / IMAGE, images.numpy())
        np.save(folder / TRANSLATED, translated.numpy())
        torch.onnx.export(generator, (images,), folder / ONNX, dynamo=True, verbose=False)
    return run, {'flops': counter.get_total_flops()}


def pytorch_channels_last(task: Task, folder: pathlib.Path) -> Built:
    """The same with channels last in memory, as oneDNN likes them for some shapes."""
    return pytorch(task, folder, channels_last=True)


def onnxruntime(task: Task, folder: pathlib.Path) -> Built:
    """The same weights by ONNX Runtime."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = runtime.InferenceSession(folder / ONNX, options, providers=['CPUExecutionProvider'])
    images = np.load(folder / IMAGE)
    (name,) = (given.name for given in session.get_inputs())
    return lambda: session.run(None, {name: images}), {}


def matrix_product(task: Task, folder: pathlib.Path) -> Built:
    """Products of two square matrices: the machine's peak, by the clock of the same rounds."""
    del folder
    import jax

    size = 1024 if task.device == 'cpu' else 8192
    a = jax.random.normal(jax.random.key(0), (size, size), task.dtype)
    product = jax.jit(lambda x: x @ x).lower(a).compile()

    def run() -> None:
        for _ in range(20 * task.steps):
            last = product(a)
            if task.device == 'cpu':
                last.block_until_ready()
        last.block_until_ready()

    return run, {'flops': 20 * 2 * size**3}


WORKERS = {f.__name__: f for f in (ours, pytorch, pytorch_channels_last, onnxruntime, matrix_product)}


def _peak_memory(task: Task) -> int:
    """Bytes that this process took at most, of the device's memory."""
    if task.device == 'cpu':
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if 'torch' in sys.modules:
        return sys.modules['torch'].cuda.max_memory_allocated()
    return sys.modules['jax'].local_devices()[0].memory_stats()['peak_bytes_in_use']


def main(side: str, index: str, folder: str) -> None:
    task = EVERY_TASK[int(index)]
    run, about = WORKERS[side](task, pathlib.Path(folder))
    run()  # the first run is never counted
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        run()  # nor the first of each turn: caches and memory are the others' by then
        started = time.perf_counter()
        run()
        seconds = (time.perf_counter() - started) / task.steps
        print(json.dumps({'seconds': seconds, 'peak_memory_gib': _peak_memory(task) / 2**30}), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
