"""From the bytes of an image file to RGB."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

WHITE = (255, 255, 255)
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff')


def read_image(source: str | os.PathLike | bytes, background: Sequence[int] = WHITE) -> np.ndarray:
    """Reads an image file as RGB. This is the one conversion for every source and for the command line.

    - The first frame counts, turned upright by its EXIF orientation.
    - Grey becomes three equal channels; a palette is looked up; CMYK, YCbCr, HSV and Lab go to RGB by Pillow's
      formulas, without colour profiles (as in torchvision's default loader).
    - Alpha, also that of a palette or of one transparent colour: composited on `background`, on the stored values.
    - 16 bits per channel: the upper 8 are kept, grey or colour.
    - Floating-point pixels have no defined range and are an error.

    Args:
      source: path, or the bytes of a file.
      background: RGB, 0..255.

    Returns:
      uint8 [h, w, 3].

    Raises:
      ValueError: if it can't be decoded, naming the file.
      OSError: if there is no such file.
    """
    if isinstance(source, bytes):
        name, data = f'{len(source)} bytes', source
    else:
        name, data = os.fspath(source), Path(source).read_bytes()
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            image.load()
            return _to_rgb(PIL.ImageOps.exif_transpose(image), background)
    except PIL.UnidentifiedImageError:
        raise ValueError(f'{name} is no image that Pillow knows') from None
    except Exception as error:
        # Any: Pillow's decoders answer broken files with whatever their parsing meets (struct.error, SyntaxError,
        # NotImplementedError, MemoryError ...), and its guard against huge images derives from Exception alone.
        raise ValueError(f'{name} cannot be decoded: {error}') from error


def _to_rgb(image: PIL.Image.Image, background: Sequence[int]) -> np.ndarray:
    if image.mode.startswith('I'):  # 16-bit grey, in 16 or 32 bits
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f'grey values {values.min()}..{values.max()} are not of 16 bits')
        grey = (values >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == 'F':
        raise ValueError('floating-point pixels have no defined range')
    if image.mode in ('LA', 'PA', 'La', 'RGBA', 'RGBa') or 'transparency' in image.info:
        canvas = PIL.Image.new('RGBA', image.size, (*(int(value) for value in background), 255))
        image = PIL.Image.alpha_composite(canvas, _to_rgba(image))
    return np.asarray(image.convert('RGB'))


def _to_rgba(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode == 'La':
        image = image.convert('LA')
    return image.convert('RGBA')
