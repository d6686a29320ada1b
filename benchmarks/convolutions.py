"""Times the forms of a convolution against each other: forward, gradient of the images, gradient of the kernel.

    python -m benchmarks.convolutions
    python -m benchmarks.convolutions --default_flags   # as XLA chooses without our flags: YNNPACK's convolutions

Prints milliseconds, the best of `--rounds`, the forms in turn. `ours` is `networks/convolution.py`; the others are what
was tried: XLA's own with padding inside, Winograd's F(2x2, 3x3), and one product over patches.
"""

import argparse
import time
from collections.abc import Callable

import rich.console
import rich.table

from gan_transfer import xla_flags

# (batch, size, channels, features, kernel size, stride, padding): what the networks have at 128 px.
SHAPES = (
    (1, 32, 256, 256, 3, 1, 1),  # a residual block of the ResNet
    (1, 64, 128, 128, 3, 1, 1),
    (1, 128, 64, 64, 3, 1, 1),
    (1, 134, 64, 3, 7, 1, 0),  # its last layer
    (1, 134, 3, 64, 7, 1, 0),  # its first
    (1, 128, 64, 128, 3, 2, 1),
    (1, 64, 64, 128, 4, 2, 1),  # the patch discriminator
    (1, 15, 512, 1, 4, 1, 1),
    (1, 4, 512, 512, 4, 2, 1),  # the U-Net
    (4, 128, 128, 128, 3, 1, 1),  # StarGAN v2
    (4, 128, 128, 128, 4, 2, 1),
    (4, 16, 512, 512, 3, 1, 1),
    (4, 4, 512, 512, 3, 1, 1),
)


def forms(stride: int, padding: int) -> dict[str, Callable]:
    """Returns the forms, by name, as functions of images and kernel."""
    import jax.numpy as jnp

    from gan_transfer.networks import convolution, plain_convolution

    def patches(x, k):
        rows, columns, channels, features = k.shape
        x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        h, w = ((n - k) // stride + 1 for n, k in zip(x.shape[1:3], k.shape[:2], strict=True))
        parts = [
            x[:, i : i + stride * h : stride, j : j + stride * w : stride][:, :h, :w]
            for i in range(rows)
            for j in range(columns)
        ]
        return jnp.concatenate(parts, -1) @ k.reshape(rows * columns * channels, features)

    def winograd(x, k):
        x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        b, h, w, c = x.shape
        h, w = (h - 2) // 2, (w - 2) // 2

        def differences(y, axis, count):
            parts = [jnp.take(y, jnp.arange(i, i + 2 * count - 1, 2), axis) for i in range(4)]
            return parts[0] - parts[2], parts[1] + parts[2], parts[2] - parts[1], parts[1] - parts[3]

        tiles = jnp.stack([t for row in differences(x, 1, h) for t in differences(row, 2, w)])
        matrix = jnp.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
        kernels = jnp.einsum('ai,bj,ijcd->abcd', matrix, matrix, k).reshape(16, c, -1)
        products = jnp.einsum('tnc,tcd->tnd', tiles.reshape(16, b * h * w, c), kernels)
        m = products.reshape(4, 4, b, h, w, -1)
        rows = [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
        y = [jnp.stack([r[0] + r[1] + r[2], r[1] - r[2] - r[3]], 3) for r in rows]
        return jnp.stack(y, 2).reshape(b, 2 * h, 2 * w, -1)

    sizes = {'stride': stride, 'padding': padding}
    return {
        'ours': lambda x, k: convolution.convolve(x, k, **sizes),
        "XLA's": lambda x, k: plain_convolution.forward(x, k, **sizes),
        'patches': patches,
        'Winograd': winograd,
    }


def measure(shape: tuple[int, ...], rounds: int) -> dict[str, list[float]]:
    """Returns, by form, milliseconds of forward, gradient of images, gradient of kernel."""
    import jax

    batch, size, channels, features, kernel_size, stride, padding = shape
    x = jax.random.normal(jax.random.key(0), (batch, size, size, channels))
    k = jax.random.normal(jax.random.key(1), (kernel_size, kernel_size, channels, features))
    compiled = {}
    for name, f in forms(stride, padding).items():
        if name == 'Winograd' and (kernel_size, stride) != (3, 1):
            continue
        y = jax.jit(f)(x, k)
        parts = (
            lambda x, k, y, f=f: f(x, k),
            lambda x, k, y, f=f: jax.vjp(lambda z: f(z, k), x)[1](y)[0],
            lambda x, k, y, f=f: jax.vjp(lambda z: f(x, z), k)[1](y)[0],
        )
        compiled[name] = [jax.jit(part).lower(x, k, y).compile() for part in parts]
    best = {name: [float('inf')] * 3 for name in compiled}
    for _ in range(rounds):
        for name, programs in compiled.items():
            for i, program in enumerate(programs):
                started = time.perf_counter()
                jax.block_until_ready(program(x, k, y))
                best[name][i] = min(best[name][i], 1000 * (time.perf_counter() - started))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--default_flags', action='store_true', help="leave XLA's choice of libraries")
    arguments = parser.parse_args()
    if not arguments.default_flags:
        xla_flags.set_flags()
    names = ('ours', "XLA's", 'patches', 'Winograd')
    table = rich.table.Table('batch, size, channels -> features, kernel, stride', *names)
    console = rich.console.Console(width=140)
    for shape in SHAPES:
        found = measure(shape, arguments.rounds)
        batch, size, channels, features, kernel_size, stride, _ = shape
        what = f'{batch}, {size} px, {channels} -> {features}, {kernel_size}x{kernel_size}, {stride}'
        table.add_row(what, *[' '.join(f'{v:.1f}' for v in found.get(name, [])) for name in names])
    console.print(table)


if __name__ == '__main__':
    main()
