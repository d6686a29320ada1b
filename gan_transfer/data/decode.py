"""From the bytes of an image file to RGB."""

import errno
import io
import os
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.TiffImagePlugin

from gan_transfer import storage

WHITE = (255, 255, 255)
# What a file may hold, whatever its ending. Not all that Pillow knows: EPS, for one, runs another program.
FORMATS = ('AVIF', 'BMP', 'GIF', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP')
# A few bytes can claim any number of pixels; within these bounds an image takes up to 1.4 GB while it is decoded, on
# each of data.threads, and its file besides.
MAX_PIXELS = 2**26
MAX_FILE_BYTES = 2**29
# Beyond rows of 2^31 bits Pillow raises MemoryError, whatever memory there is.
MAX_SIDE = 2**20
# What it depends on whether a file can be read, beside the file.
READER = f'3, Pillow {PIL.__version__}'
EXTENSIONS = (
    *('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff'),
    *('.avif', '.gif', '.pgm', '.ppm'),
)
_ORIENTATION = 0x112  # the tag of EXIF
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def has_image_name(path: os.PathLike) -> bool:
    """Whether a file's name ends as images' do; hidden ones do not count: macOS leaves a `._1.jpg` beside `1.jpg`."""
    name = os.path.basename(os.fspath(path))
    return name.lower().endswith(EXTENSIONS) and not name.startswith('.')


def read_image(source: str | os.PathLike | bytes, background: Sequence[int] = WHITE) -> np.ndarray:
    """Reads an image file as RGB. This is the one conversion for every source and for the command line.

    - The first frame counts, turned upright by its EXIF orientation; an EXIF block that is broken tells none.
    - Grey becomes three equal channels; a palette is looked up; CMYK, YCbCr, HSV and Lab go to RGB by Pillow's
      formulas, without colour profiles (as in torchvision's default loader).
    - Alpha, also that of a palette or of one transparent colour: composited on `background`, on the stored values.
    - 16 bits per channel: the upper 8 are kept, grey or colour; Pillow rounds those of colour PPMs. Grey TIFFs of 9 to
      15 bits are an error.
    - Floating-point pixels have no defined range and are an error.
    - More than MAX_PIXELS, MAX_SIDE or MAX_FILE_BYTES are an error before they are read, and so is what is no regular
      file.

    Args:
      source: path, or the bytes of a file.
      background: RGB, 0..255.

    Returns:
      uint8 [h, w, 3].

    Raises:
      ValueError: if it can't be decoded, naming the file.
      OSError: if there is no such file, or no memory for it now.
    """
    if isinstance(source, bytes):
        name, data = f'{len(source)} bytes', source
    else:
        name, data = printable(os.fspath(source)), _read_bytes(storage.place(source))
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f'{width}x{height} px are more than {MAX_PIXELS}')
            if max(width, height) > MAX_SIDE:
                raise ValueError(f'{width}x{height} px have a side of more than {MAX_SIDE}')
            image.load()
            inverted = image.format == 'TIFF' and image.mode.startswith('I;16') and _white_is_0(image)
            if image.format == 'PNG' and 'transparency' in image.info:
                image.info['transparency'] = _key_in_8_bits(image, depth=data[24])
            return _to_rgb(_upright(image), background, inverted=inverted)
    except PIL.UnidentifiedImageError:
        raise ValueError(f'{name} is no image of a known format ({", ".join(FORMATS)})') from None
    except MemoryError as error:  # what a header claims is within the bounds: says nothing of the file
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), name) from error
    except Exception as error:
        # Any: Pillow's decoders answer broken files with whatever their parsing meets (struct.error, SyntaxError,
        # NotImplementedError ...), and its guard against huge images derives from Exception alone.
        raise ValueError(f'{name} cannot be decoded: {error}') from error


def printable(name: str) -> str:
    """Returns a file's name with what no line or text file can hold escaped: line breaks, bytes that are no UTF-8."""
    return ''.join(
        character
        if character.isprintable() and character != '\\'
        else character.encode('unicode_escape').decode()
        for character in name
    )


def _read_bytes(path: storage.Path) -> bytes:
    """Reads a file, unless that would take all memory or never end."""
    status = storage.status(path)
    if not status.regular:
        raise ValueError(f'{printable(str(path))} is no regular file')
    if status.size > MAX_FILE_BYTES:
        raise ValueError(f'{printable(str(path))} has {status.size} bytes, more than {MAX_FILE_BYTES}')
    return storage.read(path)


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """Turns an image as its EXIF orientation says.

    Pillow's own function writes the block back without the orientation, and fails at whatever else is odd in it.
    """
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    except MemoryError:
        raise
    except Exception:  # of any type, as in decoders: a broken block says nothing of the pixels
        return image
    return image if turn is None else image.transpose(turn)


def _key_in_8_bits(image: PIL.Image.Image, depth: int) -> int | bytes | tuple[int, ...]:
    """Returns the transparent colour of a PNG in the units of its pixels; Pillow leaves it in those of the file."""
    key = image.info['transparency']
    if image.mode == 'L' and depth in (2, 4):
        return key * 255 // (2**depth - 1)
    if image.mode == 'RGB' and depth == 16:
        return tuple(value >> 8 for value in key)
    return key


def _white_is_0(image: PIL.TiffImagePlugin.TiffImageFile) -> bool:
    """Whether 16-bit grey is still to be turned round, as Pillow does for 8 bits only; ValueError for other bits."""
    bits = image.tag_v2.get(PIL.TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
    if bits != 16:
        raise ValueError(f'pixels of {bits} bits; those of 8 and 16 are read')
    return image.tag_v2.get(PIL.TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0


def _to_rgb(image: PIL.Image.Image, background: Sequence[int], *, inverted: bool = False) -> np.ndarray:
    if image.mode.startswith('I'):  # 16-bit grey, in 16 or 32 bits
        values = np.asarray(image).astype(np.int64)
        values = 65535 - values if inverted else values
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f'grey values {values.min()}..{values.max()} are not of 16 bits')
        rgb = np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
        if 'transparency' in image.info:
            rgb[values == image.info['transparency']] = background
        return rgb
    if image.mode == 'F':
        raise ValueError('floating-point pixels have no defined range')
    if image.has_transparency_data:
        canvas = PIL.Image.new('RGBA', image.size, (*(int(value) for value in background), 255))
        image = PIL.Image.alpha_composite(canvas, _to_rgba(image))
    return np.asarray(image.convert('RGB'))


def _to_rgba(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode == 'La':
        image = image.convert('LA')
    return image.convert('RGBA')
