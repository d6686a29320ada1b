"""EfficientNet-Lite0: a small classifier of ImageNet, to ask what an image shows; never trained here.

The mobile form of EfficientNet-B0 (Tan and Le 2019, table 1): ReLU6 in place of swish, no squeeze-and-excitation, stem
and head of fixed width. Batch norms are folded into the convolutions when weights are loaded.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Features = dict[str, Array]
Maps = Float[Array, 'b _ _ _']
SIZE = 224  # px, what images are resized to
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
# The published weights want TensorFlow's padding, which at stride 2 is more below and right; JAX's 'SAME' is the same.
_Convolution = functools.partial(nn.Conv, padding='SAME')


class _DepthwiseConvolution(nn.Module):
    """A filter for each channel, as a sum of shifted products: on a CPU four times as fast as a grouped convolution."""

    size: int
    stride: int

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        channels = x.shape[-1]
        kernel = self.param('kernel', nn.initializers.he_normal(), (self.size, self.size, 1, channels))
        bias = self.param('bias', nn.initializers.zeros, (channels,))
        lengths = [-(-length // self.stride) for length in x.shape[1:3]]
        totals = [
            max((n - 1) * self.stride + self.size - length, 0)
            for n, length in zip(lengths, x.shape[1:3], strict=True)
        ]
        x = jnp.pad(x, [(0, 0), *((total // 2, total - total // 2) for total in totals), (0, 0)])
        spans = [(n - 1) * self.stride + 1 for n in lengths]
        return bias + sum(
            x[:, i : i + spans[0] : self.stride, j : j + spans[1] : self.stride] * kernel[i, j, 0]
            for i in range(self.size)
            for j in range(self.size)
        )


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
            y = nn.relu6(_Convolution(inside, (1, 1), name='expand')(y))
        y = nn.relu6(_DepthwiseConvolution(self.kernel_size, self.stride, name='depthwise')(y))
        y = _Convolution(self.features, (1, 1), name='project')(y)
        return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    """The classifier, as it is used: no dropout.

    Checked on photographs that come with scikit-image, the square in their middle. `chelsea`: Egyptian cat 0.39, tiger
    cat 0.33, tabby 0.17; `coffee`: espresso 0.94. Against the same network in PyTorch, its batch norms not folded,
    the largest difference of the logits was 1.2e-5, of values up to 10.6.
    """

    @nn.compact
    def __call__(self, images: Float[Array, 'b h w 3']) -> tuple[Float[Array, 'b 1000'], Features]:
        """Returns the logits of the classes of RGB images in [-1, 1], resized to 224 px (bicubic, antialiased).

        The features are `pooled` [b, 1280], which the logits are linear in, and the maps `stride_4`, `stride_8`,
        `stride_16` and `stride_32`, each the last of its size.
        """
        x = jax.image.resize(images, (len(images), SIZE, SIZE, 3), 'cubic', antialias=True)
        x = (
            127.5 * x + 0.5
        ) / 128  # is (value - 127) / 128 of values 0..255, what the weights were trained on
        x, features = nn.relu6(_Convolution(32, (3, 3), (2, 2), name='stem')(x)), {}
        number = 0
        for blocks, kernel_size, stride, expansion, width in STAGES:
            for i in range(blocks):
                x = _Block(kernel_size, stride if i == 0 else 1, expansion, width, name=f'block_{number}')(x)
                features[f'stride_{SIZE // x.shape[1]}'] = x
                number += 1
        del features['stride_2']  # a single block behind the stem
        x = nn.relu6(_Convolution(1280, (1, 1), name='head')(x))
        features['pooled'] = x.mean((1, 2))
        return nn.Dense(CLASSES, name='classifier')(features['pooled']), features
