"""What is compared: training steps at the papers' sizes, and translation."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Task:
    """One line of the table.

    Attributes:
      name: the line.
      method: of METHODS; of `pytorch_steps.STEPS`.
      kind: 'step' or 'translate'.
      size: pixels.
      batch: images.
      sides: who takes part, of `workers.WORKERS`.
      dtype: of the arithmetic; for PyTorch 'bfloat16' is autocast. On a GPU 'float32' is TensorFloat-32 in products.
      device: 'cpu' or 'cuda'.
      steps: in a row, of which the mean is taken.
    """

    name: str
    method: str
    kind: str
    size: int
    batch: int
    sides: tuple[str, ...] = ('ours', 'pytorch', 'pytorch_channels_last')
    dtype: str = 'float32'
    device: str = 'cpu'
    steps: int = 1


TASKS = (
    Task('CycleGAN step, ResNet-9, 128 px, batch 1', 'cyclegan', 'step', 128, 1),
    Task('CUT step, ResNet-9, 128 px, batch 1', 'cut', 'step', 128, 1),
    Task('pix2pix step, U-Net, 128 px, batch 1', 'pix2pix', 'step', 128, 1),
    Task('StarGAN v2 step, 128 px, batch 4', 'stargan_v2', 'step', 128, 4),
    Task(
        'ResNet-9 translation, 256 px, batch 1',
        'cyclegan',
        'translate',
        256,
        1,
        ('ours', 'pytorch', 'pytorch_channels_last', 'onnxruntime'),
    ),
)


def _on_gpu(name: str, method: str, batch: int, dtype: str) -> Task:
    name = f'{name} step, 256 px, batch {batch}, {dtype}'
    return Task(name, method, 'step', 256, batch, dtype=dtype, device='cuda', steps=10)


GPU_TASKS = (
    _on_gpu('CycleGAN', 'cyclegan', 1, 'float32'),
    _on_gpu('CycleGAN', 'cyclegan', 8, 'bfloat16'),
    _on_gpu('CUT', 'cut', 1, 'float32'),
    _on_gpu('CUT', 'cut', 8, 'bfloat16'),
    _on_gpu('pix2pix', 'pix2pix', 1, 'float32'),
    _on_gpu('StarGAN v2', 'stargan_v2', 8, 'float32'),
    _on_gpu('StarGAN v2', 'stargan_v2', 8, 'bfloat16'),
)
# A worker finds its task by its place here.
EVERY_TASK = (*TASKS, *GPU_TASKS)
