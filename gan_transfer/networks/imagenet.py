"""The convolutions of AlexNet and VGG16, trained on ImageNet: features to measure images by, never trained here.

Images are RGB in [-1, 1]; the normalization by ImageNet's mean and deviation is part of the networks.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks.layers import Convolution

Features = dict[str, Array]
# Of torchvision's models, from [0, 1] to [-1, 1].
MEAN = tuple(2 * x - 1 for x in (0.485, 0.456, 0.406))
DEVIATION = tuple(2 * x for x in (0.229, 0.224, 0.225))


def normalize(images: Float[Array, 'b h w 3']) -> Float[Array, 'b h w 3']:
    """Returns images in [-1, 1] with ImageNet's mean and deviation taken out, as torchvision's models want them."""
    return (images - jnp.array(MEAN)) / jnp.array(DEVIATION)


def _max_of_2x2(images: Float[Array, 'b h w c']) -> Float[Array, 'b h2 w2 c']:
    """Returns the largest of every 2x2 pixels; a last odd row or column is left out.

    The gradient of XLA's own windows searches them for their maxima again, many times as long on a CPU.
    """
    height, width = (size // 2 * 2 for size in images.shape[1:3])
    first, *others = (images[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1))
    return functools.reduce(jnp.maximum, others, first)


class AlexNet(nn.Module):
    """The five convolutions of AlexNet in its one-tower form (Krizhevsky 2014), each after its ReLU."""

    @nn.compact
    def __call__(self, images: Float[Array, 'b h w 3']) -> tuple[Float[Array, 'b h2 w2 256'], Features]:
        """Returns the last features and all five as `relu_1` .. `relu_5`; images of 31 px and more."""
        x, features = normalize(images), {}
        layers = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
        for i, (width, size, stride, padding) in enumerate(layers):
            if i in (1, 2):
                x = nn.max_pool(x, (3, 3), (2, 2))
            convolution = Convolution(width, size, stride=stride, padding=padding, name=f'convolution_{i}')
            x = features[f'relu_{i + 1}'] = nn.relu(convolution(x))
        return x, features


class Vgg16(nn.Module):
    """The thirteen convolutions of VGG16 (Simonyan and Zisserman 2015, configuration D)."""

    @nn.compact
    def __call__(self, images: Float[Array, 'b h w 3']) -> tuple[Float[Array, 'b h2 w2 512'], Features]:
        """Returns the last features and all thirteen as `relu_1_1` .. `relu_5_3`; images of 16 px and more."""
        x, features, number = normalize(images), {}, 0
        for i, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
            if i > 1:
                x = _max_of_2x2(x)
            for j in range(1, count + 1):
                x = nn.relu(Convolution(width, 3, padding=1, name=f'convolution_{number}')(x))
                features[f'relu_{i}_{j}'] = x
                number += 1
        return x, features


NETWORKS: dict[str, type[nn.Module]] = {'alexnet': AlexNet, 'vgg16': Vgg16}
