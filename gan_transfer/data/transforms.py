"""Resizing and augmentation of one image, in numpy; random ones take the generator of their sample."""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import PIL.Image
from ml_collections import ConfigDict

CUBIC, LINEAR = 'cubic', 'linear'
_PILLOW = {CUBIC: PIL.Image.Resampling.BICUBIC, LINEAR: PIL.Image.Resampling.BILINEAR}
_OPENCV = {CUBIC: cv2.INTER_CUBIC, LINEAR: cv2.INTER_LINEAR}
_TRIES = 10  # for a crop that fits, as in torchvision

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def resize(image: np.ndarray, size_hw: Sequence[int], interpolation: str = CUBIC) -> np.ndarray:
    """Stretches an image to a size.

    Where a side shrinks, Pillow does it, with the filter widened by the factor (antialiased; what torchvision does with
    PIL images, so what the papers trained on). Otherwise OpenCV, which is about five times faster and has nothing
    to antialias.

    Args:
      image: uint8 [h, w, 3].
      size_hw: height and width wanted, px.
      interpolation: 'cubic' or 'linear'.

    Returns:
      uint8 [size_hw[0], size_hw[1], 3].
    """
    height, width = (int(side) for side in size_hw)
    if image.shape[:2] == (height, width):
        return image
    if height < image.shape[0] or width < image.shape[1]:
        shrunk = PIL.Image.fromarray(image).resize((width, height), _PILLOW[interpolation])
        return np.asarray(shrunk)
    return cv2.resize(image, (width, height), interpolation=_OPENCV[interpolation])


def trained_by(data: ConfigDict) -> str:
    """Returns the interpolation by which the images of a training come to `image_size`: see `make_augmentation`."""
    return LINEAR if data.augmentation == 'random_resized_crop' else CUBIC


def make_augmentation(config: ConfigDict) -> Augmentation:
    """Returns the augmentation that `config.data` asks for: (uint8 [h, w, 3], rng) -> uint8 [size, size, 3].

    - 'resize_crop' (CycleGAN): stretched to image_size * resize_ratio with cubic interpolation, then a random crop.
    - 'random_resized_crop' (StarGAN v2): with probability crop_probability a random crop of crop_scale of the area
      and crop_aspect, then (always) stretched to image_size with linear interpolation.
    - 'none': stretched to image_size.

    Differs from the papers' code, which enlarges with Pillow: OpenCV's cubic kernel is a little sharper (a = -0.75, not
    -0.5; from 256 to 286 px a mean difference of 1 of 255 levels on smooth pictures, 4 on noise).

    Each then mirrors half of the images if data.flip is set.

    Raises:
      ValueError: for another name.
    """
    # OpenCV's own threads would compete with the pipeline's.
    cv2.setNumThreads(0)
    data, size = config.data, config.image_size
    if data.augmentation == 'resize_crop':
        load_size = round(size * data.resize_ratio)
        if load_size < size:
            raise ValueError(f'data.resize_ratio={data.resize_ratio} is below 1: no crop of {size} px fits')

        def transform(image, rng):
            return random_crop(resize(image, (load_size, load_size)), size, rng)
    elif data.augmentation == 'random_resized_crop':
        probability, scale, aspect = data.crop_probability, tuple(data.crop_scale), tuple(data.crop_aspect)

        def transform(image, rng):
            if rng.random() < probability:
                image = random_area_crop(image, scale, aspect, rng)
            return resize(image, (size, size), trained_by(data))
    elif data.augmentation == 'none':

        def transform(image, rng):
            return resize(image, (size, size))
    else:
        raise ValueError(
            f'unknown data.augmentation {data.augmentation!r}: resize_crop, random_resized_crop or none'
        )
    if not data.flip:
        return transform
    return lambda image, rng: random_flip(transform(image, rng), rng)


def random_crop(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cuts a square of `size` px from a uniformly random place."""
    top = rng.integers(image.shape[0] - size + 1)
    left = rng.integers(image.shape[1] - size + 1)
    return image[top : top + size, left : left + size]


def random_area_crop(
    image: np.ndarray, scale: tuple[float, float], aspect: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Cuts a random share of the area with a random aspect, as torchvision's RandomResizedCrop.

    Args:
      scale: range of the share of the area, uniform.
      aspect: range of width over height, log-uniform.

    Returns:
      The crop at its own size. After ten draws that do not fit: the largest central crop with an aspect in range.
    """
    height, width = image.shape[:2]
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
        crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = rng.integers(height - crop_height + 1)
            left = rng.integers(width - crop_width + 1)
            return image[top : top + crop_height, left : left + crop_width]
    ratio = min(max(width / height, aspect[0]), aspect[1])
    crop_width = max(1, min(width, round(height * ratio)))
    crop_height = max(1, min(height, round(width / ratio)))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return image[top : top + crop_height, left : left + crop_width]


def random_flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors left and right with probability 1/2."""
    return image[:, ::-1] if rng.random() < 0.5 else image
