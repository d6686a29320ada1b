"""Images at the size that Inception wants, resized on the host by Pillow as published protocols do."""

import numpy as np
import PIL.Image
from jaxtyping import Float32, UInt8

Images = UInt8[np.ndarray, 'b h w 3']


def clean(images: Images, size: int) -> Float32[np.ndarray, 'b size size 3']:
    """Returns images of `size` px, bicubic, antialiased, not rounded to whole values; 0..255 (Parmar et al. 2022).

    As clean-fid does it: every channel by itself as 32-bit floats, overshoot cut off. Some frameworks' own resizing
    does not antialias when it shrinks, and rounding on the way moves FID; both are the paper's section 3.

    Raises:
      ValueError: for images that are not uint8.
    """
    _check(images)
    resized = [
        [_resize(PIL.Image.fromarray(channel), size, PIL.Image.Resampling.BICUBIC) for channel in image]
        for image in np.moveaxis(images, -1, 1).astype(np.float32)
    ]
    return np.moveaxis(np.array(resized), 1, -1).clip(0, 255)


def eight_bit(images: Images, size: int) -> UInt8[np.ndarray, 'b size size 3']:
    """Returns images of `size` px, bilinear, antialiased, rounded to uint8: what StarGAN v2's evaluation does.

    Raises:
      ValueError: for images that are not uint8.
    """
    _check(images)
    return np.array(
        [_resize(PIL.Image.fromarray(image), size, PIL.Image.Resampling.BILINEAR) for image in images]
    )


def _resize(image: PIL.Image.Image, size: int, resampling: PIL.Image.Resampling) -> np.ndarray:
    return np.asarray(image.resize((size, size), resampling))


def _check(images: np.ndarray) -> None:
    if images.dtype != np.uint8:
        raise ValueError(f'images to resize are uint8, got {images.dtype}')
