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
    """

    name: str
    method: str
    kind: str
    size: int
    batch: int
    sides: tuple[str, ...] = ('ours', 'pytorch', 'pytorch_channels_last')


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
