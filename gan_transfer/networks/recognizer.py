"""A small network that reads the factors of a drawing from its pixels: to measure by, never trained with others.

It looks twice: at the whole image, for what is where; then at the head alone, moved, turned and scaled to one place,
for what is small. (Jaderberg et al. 2015 learn the place; here it is known in training, and read afterwards.)
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_transfer.networks.layers import Convolution

SIZE = 64  # px that the network sees; every other size is resized to it
HEAD_SIZE = 48  # px of the head, cut out
Outputs = dict[str, Float[Array, 'b _']]


class Recognizer(nn.Module):
    """Reads first `image_heads`, then from the head alone `head_heads`: factor -> number of outputs."""

    image_heads: Mapping[str, int]
    head_heads: Mapping[str, int]

    def setup(self):
        widths = ((16, 5, 2), (32, 3, 2), (48, 3, 2), (64, 3, 2))
        self.whole = _Reader(widths, 64, self.image_heads)
        self.head = _Reader(((24, 5, 2), (48, 3, 1), (64, 3, 2), (80, 3, 2)), 96, self.head_heads)

    def read_image(self, images: Float[Array, 'b h w 3']) -> Outputs:
        """Returns the outputs for the whole of images in [-1, 1]."""
        return self.whole(resize(images))

    def read_head(self, heads: Float[Array, 'b s s 3']) -> Outputs:
        """Returns the outputs for heads that `cut_out` has made."""
        return self.head(heads)

    def __call__(self, images: Float[Array, 'b h w 3'], windows: Float[Array, 'b 4']) -> Outputs:
        """Returns all outputs, for heads of which the windows are known."""
        images = resize(images)
        return {**self.read_image(images), **self.read_head(cut_out(images, windows))}


class _Reader(nn.Module):
    """Convolutions, each normalized in groups of channels, and a linear layer for each factor."""

    layers: tuple[tuple[int, int, int], ...]  # width, size, stride
    hidden: int
    heads: Mapping[str, int]

    @nn.compact
    def __call__(self, x: Float[Array, 'b h w 3']) -> Outputs:
        for i, (width, size, stride) in enumerate(self.layers):
            x = Convolution(width, size, stride=stride, padding=size // 2, name=f'convolution_{i}')(x)
            x = nn.relu(nn.GroupNorm(num_groups=8, name=f'norm_{i}')(x))
        places = nn.relu(Convolution(16, 1, name='projection')(x)).reshape(x.shape[0], -1)
        everywhere = jnp.concatenate([x.max((1, 2)), x.mean((1, 2)), places], axis=1)
        hidden = nn.relu(nn.Dense(self.hidden, name='hidden')(everywhere))
        return {name: nn.Dense(count, name=name)(hidden) for name, count in self.heads.items()}


def resize(images: Float[Array, 'b h w 3']) -> Float[Array, 'b s s 3']:
    """Brings images to the network's own size, unless they have it."""
    shape = (images.shape[0], SIZE, SIZE, 3)
    return images if images.shape == shape else jax.image.resize(images, shape, 'linear', antialias=True)


def cut_out(images: Float[Array, 'b h w 3'], windows: Float[Array, 'b 4']) -> Float[Array, 'b s s 3']:
    """Cuts a turned square out of each image by linear interpolation, black outside.

    Args:
      windows: the square's middle, x and y from the image's middle, and its side, in image widths; its turn clockwise,
        in radians.
    """
    height, width = images.shape[1:3]
    steps = (jnp.arange(HEAD_SIZE) + 0.5) / HEAD_SIZE - 0.5
    down, across = jnp.meshgrid(steps, steps, indexing='ij')

    def one(image: Array, window: Array) -> Array:
        x, y, side, turn = window
        columns = x + side * (across * jnp.cos(turn) - down * jnp.sin(turn))
        rows = y + side * (across * jnp.sin(turn) + down * jnp.cos(turn))
        places = [(rows + 0.5) * height - 0.5, (columns + 0.5) * width - 0.5]
        sample = jax.vmap(
            lambda channel: jax.scipy.ndimage.map_coordinates(channel, places, 1), in_axes=-1, out_axes=-1
        )
        return sample(image)

    return jax.vmap(one)(images, windows)
