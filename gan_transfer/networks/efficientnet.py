"""EfficientNet-Lite0: a small classifier of ImageNet, to ask what an image shows, and features; never trained here.

The mobile form of EfficientNet-B0 (Tan and Le 2019, table 1): ReLU6 in place of swish, no squeeze-and-excitation, stem
and head of fixed width. Batch norms are folded into the convolutions when weights are loaded.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks.layers import Convolution

Features = dict[str, Array]
Maps = Float[Array, 'b _ _ _']
Kernel = Float[Array, 'k k c']
SIZE = 224  # px, what the classifier wants
CLASSES = 1000  # of ImageNet, in the order of its 2012 challenge
# One row a stage: blocks, kernel size, stride of the first, expansion of the width inside, width.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
BLOCKS = sum(blocks for blocks, *_ in STAGES)


def _filtered(x: Maps, kernel: Kernel, stride: int) -> Maps:
    """Returns each channel by its filter, at every `stride`-th place and without padding."""
    size = len(kernel)
    spans = [(length - size) // stride * stride + 1 for length in x.shape[1:3]]
    return sum(
        x[:, i : i + spans[0] : stride, j : j + spans[1] : stride] * kernel[i, j]
        for i in range(size)
        for j in range(size)
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x: Maps, kernel: Kernel, stride: int) -> Maps:
    """`_filtered`, its gradient taken in the same way: the whole network's then takes 0.6 of the time on a CPU."""
    return _filtered(x, kernel, stride)


def _forward(x: Maps, kernel: Kernel, stride: int) -> tuple[Maps, tuple[Maps, Kernel]]:
    return _filtered(x, kernel, stride), (x, kernel)


def _backward(stride: int, given: tuple[Maps, Kernel], slopes: Maps) -> tuple[Maps, Kernel]:
    x, kernel = given
    margin = len(kernel) - 1
    lengths = zip(x.shape[1:3], slopes.shape[1:3], strict=True)
    padding = [(margin, length - (n - 1) * stride - 1, stride - 1) for length, n in lengths]
    spread = jax.lax.pad(slopes, jnp.zeros((), slopes.dtype), [(0, 0, 0), *padding, (0, 0, 0)])
    to_kernel = jax.vjp(lambda kernel: _filtered(x, kernel, stride), kernel)[1]
    return _filtered(spread, kernel[::-1, ::-1], 1), *to_kernel(slopes)


_depthwise.defvjp(_forward, _backward)


def _padded(x: Maps, size: int, stride: int) -> Maps:
    """Returns maps with TensorFlow's zero padding, which at stride 2 is more below and right."""
    lengths = x.shape[1:3]
    totals = [max((-(-length // stride) - 1) * stride + size - length, 0) for length in lengths]
    return jnp.pad(x, [(0, 0), *((total // 2, total - total // 2) for total in totals), (0, 0)])


class _DepthwiseConvolution(nn.Module):
    """A filter for each channel, as a sum of shifted products: on a CPU four times as fast as a grouped convolution."""

    size: int
    stride: int

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        channels = x.shape[-1]
        kernel = self.param('kernel', nn.initializers.he_normal(), (self.size, self.size, 1, channels))
        bias = self.param('bias', nn.initializers.zeros, (channels,))
        return bias + _depthwise(_padded(x, self.size, self.stride), kernel[:, :, 0], self.stride)


class _Block(nn.Module):
    """An inverted residual (Sandler et al. 2018): widened, filtered channel by channel, narrowed without activation."""

    kernel_size: int
    stride: int
    expansion: int
    features: int

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        y, inside = x, self.expansion * x.shape[-1]
        if self.expansion > 1:
            y = nn.relu6(Convolution(inside, 1, name='expand')(y))
        y = nn.relu6(_DepthwiseConvolution(self.kernel_size, self.stride, name='depthwise')(y))
        y = Convolution(self.features, 1, name='project')(y)
        return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    """The classifier, as it is used: no dropout.

    Checked on photographs that come with scikit-image, the square in their middle. `chelsea`: Egyptian cat 0.39, tiger
    cat 0.33, tabby 0.17; `coffee`: espresso 0.94. Against the same network in PyTorch, its batch norms not folded,
    the largest difference of the logits was 1.2e-5, of values up to 10.6.
    """

    size: int = SIZE  # px, what images are resized to

    @nn.compact
    def __call__(self, images: Float[Array, 'b h w 3']) -> tuple[Float[Array, 'b 1000'], Features]:
        """Returns the logits of the classes of RGB images in [-1, 1], resized to `size` (bicubic, antialiased).

        The features are `pooled` [b, 1280], which the logits are linear in, and the maps `stride_4`, `stride_8`,
        `stride_16` and `stride_32`, each the last of its size.
        """
        x = jax.image.resize(images, (len(images), self.size, self.size, 3), 'cubic', antialias=True)
        x = (
            127.5 * x + 0.5
        ) / 128  # is (value - 127) / 128 of values 0..255, what the weights were trained on
        x, features = nn.relu6(Convolution(32, 3, stride=2, name='stem')(_padded(x, 3, 2))), {}
        number, total = 0, 2
        for blocks, kernel_size, stride, expansion, width in STAGES:
            total *= stride
            for i in range(blocks):
                x = _Block(kernel_size, stride if i == 0 else 1, expansion, width, name=f'block_{number}')(x)
                features[f'stride_{total}'] = x
                number += 1
        del features['stride_2']  # a single block behind the stem
        x = nn.relu6(Convolution(1280, 1, name='head')(x))
        features['pooled'] = x.mean((1, 2))
        return nn.Dense(CLASSES, name='classifier')(features['pooled']), features
