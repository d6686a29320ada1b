import errno
import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from gan_transfer.data.decode import read_image
from tests.data.malformed import png

RED, GREEN = (255, 0, 0), (0, 255, 0)
BACKGROUND = (10, 200, 90)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette(*, transparent=False):
    image = PIL.Image.new('P', (4, 4), 1)
    image.putpalette([0, 0, 0, 40, 90, 160])
    return encoded(image, 'PNG', **({'transparency': 1} if transparent else {}))


def by_opencv(kind, dtype, value):
    done, data = cv2.imencode(kind, np.full((4, 4, len(value)), value[::-1], dtype))
    assert done
    return data.tobytes()


def one_colour(mode, value, kind='PNG', **options):
    return encoded(PIL.Image.new(mode, (4, 4), value), kind, **options)


def keyed(depth, row, key, colour=0):
    """Returns a PNG of 4x4 px, all rows alike, with one transparent colour as the file has it."""
    return png(4, 4, zlib.compress((b'\0' + row) * 4), colour=colour, depth=depth, transparent=key)


RGB_16 = struct.pack('>3H', 0xC000, 0x40FF, 0x1000)
HALF = tuple(round(128 / 255 * 250 + 127 / 255 * back) for back in BACKGROUND)
CASES = {
    'rgb_png': (one_colour('RGB', (200, 100, 50)), (200, 100, 50), 0),
    'rgb_jpeg': (one_colour('RGB', (200, 100, 50), 'JPEG'), (200, 100, 50), 3),
    'rgb_webp': (one_colour('RGB', (200, 100, 50), 'WEBP', lossless=True), (200, 100, 50), 0),
    'rgb_bmp': (one_colour('RGB', (200, 100, 50), 'BMP'), (200, 100, 50), 0),
    'rgb_tiff': (one_colour('RGB', (200, 100, 50), 'TIFF'), (200, 100, 50), 0),
    'grey': (one_colour('L', 77), (77, 77, 77), 0),
    'grey_jpeg': (one_colour('L', 77, 'JPEG'), (77, 77, 77), 2),
    'one_bit': (one_colour('1', 1), (255, 255, 255), 0),
    'palette': (palette(), (40, 90, 160), 0),
    'palette_transparent': (palette(transparent=True), BACKGROUND, 0),
    'rgb_one_colour_transparent': (one_colour('RGB', RED, transparency=RED), BACKGROUND, 0),
    'rgb_other_colour_transparent': (one_colour('RGB', RED, transparency=GREEN), RED, 0),
    'alpha_none': (one_colour('RGBA', (250, 250, 250, 0)), BACKGROUND, 0),
    'alpha_half': (one_colour('RGBA', (250, 250, 250, 128)), HALF, 1),
    'alpha_full': (one_colour('RGBA', (1, 2, 3, 255)), (1, 2, 3), 0),
    'grey_alpha': (one_colour('LA', (250, 128)), HALF, 1),
    'webp_alpha': (one_colour('RGBA', (250, 0, 0, 0), 'WEBP', lossless=True), BACKGROUND, 0),
    'cmyk_tiff': (one_colour('CMYK', (0, 255, 255, 0), 'TIFF'), RED, 0),
    'cmyk_jpeg': (one_colour('CMYK', (0, 255, 255, 0), 'JPEG'), RED, 3),
    'grey_16': (one_colour('I;16', 0x80FF), (128, 128, 128), 0),
    'grey_16_transparent': (one_colour('I;16', 0x80FF, transparency=0x80FF), BACKGROUND, 0),
    'grey_1_transparent': (keyed(1, b'\xf0', b'\0\1'), BACKGROUND, 0),
    'grey_2_transparent': (keyed(2, b'\xaa', b'\0\2'), BACKGROUND, 0),
    'grey_2_other_transparent': (keyed(2, b'\xaa', b'\0\1'), (170, 170, 170), 0),
    'grey_4_transparent': (keyed(4, b'\x99\x99', b'\0\x09'), BACKGROUND, 0),
    'grey_8_transparent': (keyed(8, b'\x09' * 4, b'\0\x09'), BACKGROUND, 0),
    'palette_4_transparent': (keyed(4, b'\x22\x22', b'\xff\xff\0', colour=3), BACKGROUND, 0),
    'palette_4_other_transparent': (keyed(4, b'\x22\x22', b'\xff\0', colour=3), (6, 7, 8), 0),
    'rgb_16_transparent': (keyed(16, RGB_16 * 4, RGB_16, colour=2), BACKGROUND, 0),
    'rgb_16_other_transparent': (keyed(16, RGB_16 * 4, bytes(6), colour=2), (192, 64, 16), 0),
    'grey_16_tiff': (by_opencv('.tiff', np.uint16, (0x4000,)), (64, 64, 64), 0),
    'rgb_16_png': (by_opencv('.png', np.uint16, (0xC000, 0x40FF, 0x1000)), (192, 64, 16), 0),
    'rgb_16_ppm': (b'P6 4 4 65535\n' + struct.pack('>3H', 0xC000, 0x40FF, 0x1000) * 16, (191, 65, 16), 0),
    'rgb_16_tiff': (by_opencv('.tiff', np.uint16, (0xC000, 0x40FF, 0x1000)), (192, 64, 16), 0),
}


@pytest.mark.parametrize('case', CASES)
def test_every_mode_becomes_the_right_rgb(case, tmp_path):
    data, expected, tolerance = CASES[case]
    (tmp_path / 'image').write_bytes(data)
    image = read_image(tmp_path / 'image', BACKGROUND)
    assert image.dtype == np.uint8
    assert image.shape == (4, 4, 3)
    np.testing.assert_allclose(image.astype(int), np.broadcast_to(expected, image.shape), atol=tolerance)
    np.testing.assert_array_equal(image, read_image(data, BACKGROUND))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
@pytest.mark.parametrize(
    ('orientation', 'corner'), [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))]
)
def test_exif_orientation_is_applied(kind, orientation, corner):
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :16] = 255  # marks the stored upper left corner
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image = read_image(encoded(PIL.Image.fromarray(pixels), kind, exif=exif))
    assert image.shape == ((64, 32, 3) if orientation in (6, 8) else (32, 64, 3))
    bright = np.zeros((2, 2), bool)
    bright[corner] = True
    corners = image[[[0, 0], [-1, -1]], [[0, -1], [0, -1]]].mean(-1) > 128
    np.testing.assert_array_equal(corners, bright)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_every_orientation_is_pillow_s(kind, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encoded(
        PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)), kind, exif=exif
    )
    with PIL.Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(PIL.ImageOps.exif_transpose(image).convert('RGB'))
    assert expected.shape == ((6, 9, 3) if orientation < 5 else (9, 6, 3))
    np.testing.assert_array_equal(read_image(data), expected)


def test_orientation_goes_with_alpha_and_with_16_bits():
    alpha = PIL.Image.new('RGBA', (6, 4), (9, 9, 9, 255))
    alpha.paste(
        (9, 9, 9, 0), (0, 0, 2, 1)
    )  # two pixels of the first row come to be those at the right, on top
    grey = np.full((4, 6), 0x0900, np.uint16)
    grey[0, :2] = 0x80FF
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for image, expected in ((alpha, BACKGROUND), (PIL.Image.fromarray(grey), (128, 128, 128))):
        turned = np.full((6, 4, 3), 9, np.uint8)
        turned[:2, 3] = expected
        np.testing.assert_array_equal(read_image(encoded(image, 'PNG', exif=exif), BACKGROUND), turned)


def exif_block(*entries):
    """Returns an EXIF block of 12-byte entries, whatever they hold."""
    return b'Exif\0\0II*\0' + struct.pack('<IH', 8, len(entries)) + b''.join(entries) + bytes(4)


def text_entry(tag):
    return struct.pack('<HHI4s', tag, 2, 4, b'abc\0')


TURNED = struct.pack('<HHIHH', 0x112, 3, 1, 6, 0)
BROKEN_BLOCKS = {
    'zeros': b'Exif\0\0' + bytes(20),
    'garbage': b'Exif\0\0garbage of a camera',
    'cut': b'Exif\0\0II*\0',
    'orientation as text': exif_block(text_entry(0x112)),
}
ODD_BLOCKS = {
    'resolution as text': exif_block(TURNED, text_entry(0x11A)),
    'place of chroma as text': exif_block(TURNED, text_entry(0x213)),
    'negative width': exif_block(struct.pack('<HHIi', 0x100, 9, 1, -5), TURNED),
}


@pytest.mark.filterwarnings('ignore:Corrupt EXIF data')
@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
@pytest.mark.parametrize('block', [*BROKEN_BLOCKS, *ODD_BLOCKS])
def test_what_is_odd_in_an_exif_block_says_nothing_of_the_pixels(kind, block):
    exif = {**BROKEN_BLOCKS, **ODD_BLOCKS}[block]
    image = read_image(encoded(PIL.Image.new('RGB', (8, 4), (200, 100, 50)), kind, exif=exif))
    assert image.shape == ((8, 4, 3) if block in ODD_BLOCKS else (4, 8, 3)), (
        'turned where the orientation is sound'
    )
    np.testing.assert_allclose(image.astype(int), np.broadcast_to((200, 100, 50), image.shape), atol=3)


def test_only_the_first_frame_counts():
    frames = [PIL.Image.new('RGB', (4, 4), colour) for colour in (RED, GREEN)]
    data = encoded(frames[0], 'TIFF', save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(data)[0, 0], RED)


def broken_files():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for kind in ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP'):
        data = encoded(PIL.Image.fromarray(noise), kind)
        yield f'cut {kind}', data[: len(data) // 2]
    yield 'empty', b''
    yield 'text', b'this is not an image'
    yield 'floating point', one_colour('F', 0.5, 'TIFF')


@pytest.mark.parametrize(('name', 'data'), list(broken_files()))
def test_unreadable_is_a_value_error_that_names_the_file(name, data, tmp_path):
    path = tmp_path / f'{name}.img'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=path.name) as info:
        read_image(path)
    assert '\n' not in str(info.value)


def test_a_huge_image_is_unreadable(monkeypatch, tmp_path):
    (tmp_path / 'huge.png').write_bytes(one_colour('RGB', RED))
    monkeypatch.setattr(PIL.Image, 'MAX_IMAGE_PIXELS', 4)
    with pytest.raises(ValueError, match=r'huge\.png cannot be decoded'):
        read_image(tmp_path / 'huge.png')


@pytest.mark.parametrize('error', [struct.error, NotImplementedError, PIL.Image.DecompressionBombError])
def test_whatever_pillow_raises_is_a_value_error(error, monkeypatch):
    def load(image):
        raise error('of the decoder')

    data = one_colour('RGB', RED)
    monkeypatch.setattr('PIL.PngImagePlugin.PngImageFile.load', load)
    with pytest.raises(ValueError, match='cannot be decoded: of the decoder'):
        read_image(data)


@pytest.mark.parametrize('name', ['load', 'getexif'])
def test_want_of_memory_says_nothing_of_the_file(name, monkeypatch, tmp_path):
    def load(image):
        raise MemoryError

    (tmp_path / 'image.png').write_bytes(one_colour('RGB', RED))
    monkeypatch.setattr(f'PIL.PngImagePlugin.PngImageFile.{name}', load)
    with pytest.raises(OSError, match=r'image\.png') as info:
        read_image(tmp_path / 'image.png')
    assert info.value.errno == errno.ENOMEM


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / 'nothing.png')


def grey_tiff(values, bits, photometric):
    """A TIFF of one row of grey, such as Pillow does not write: of 8, 12 or 16 bits, with white as 0 or as the most."""
    if bits == 12:
        data = int(''.join(f'{value:012b}' for value in values), 2).to_bytes(len(values) * 12 // 8, 'big')
    else:
        data = np.array(values, f'<u{bits // 8}').tobytes()
    tags = {256: len(values), 257: 1, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 1, 279: len(data)}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b'II*\0' + struct.pack('<IH', 8, len(tags)) + entries + bytes(4) + data


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize(('photometric', 'expected'), [(0, (255, 127, 0)), (1, (0, 128, 255))])
def test_white_of_a_tiff_may_be_0(bits, photometric, expected):
    half = 0x80 << (bits - 8)
    image = read_image(grey_tiff([0, half, 2**bits - 1], bits, photometric))
    np.testing.assert_array_equal(image[0, :, 0], expected)


def test_tiffs_of_12_bits_are_no_dark_pictures():
    with pytest.raises(ValueError, match='pixels of 12 bits'):
        read_image(grey_tiff([0, 4095], 12, 1))
