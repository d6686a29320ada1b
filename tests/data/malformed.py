"""Files that end in .png, .jpg ... and are no images: what folders collected from the web hold, and worse."""

import io
import itertools
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image

PIXELS = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
HUGE = 60_000
# Within what Pillow itself lets pass, and 507 MB as RGB.
LARGE = 13_000


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(file, kind)
    return file.getvalue()


def cut(kind: str) -> Callable[[int], bytes]:
    """Returns a function that truncates an image of this kind, each index at another place."""
    data = encoded(kind)
    return lambda index: data[: 20 + 37 * index % (len(data) - 100)]


def claims(kind: str, place: int, width: int, form: str) -> bytes:
    """Returns an image of 32x32 px whose header, from the byte at `place` on, claims width x width."""
    data = bytearray(encoded(kind))
    size = struct.pack(form, width, width)
    data[place : place + len(size)] = size
    return bytes(data)


def png(
    width: int, height: int, pixels: bytes, *, colour: int = 0, depth: int = 8, transparent: bytes = b''
) -> bytes:
    """Returns a grey (0), RGB (2) or palette (3) PNG whose pixel data are `pixels`, whatever its header says."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))

    header = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)
    more = chunk(b'PLTE', bytes(range(48))) if colour == 3 else b''
    more += chunk(b'tRNS', transparent) if transparent else b''
    body = chunk(b'IHDR', header) + more + chunk(b'IDAT', pixels) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + body


def tiff(dtype: type, value: float, width: int = 4) -> bytes:
    """Returns a TIFF of 4x4 grey numbers of 32 bits; its header claims `width` x 4."""
    pixels = np.full((4, 4), value, dtype).tobytes()
    kind = 3 if dtype is np.float32 else 1
    tags = ((256, width), (257, 4), (258, 32), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4))
    tags = (*tags, (279, len(pixels)), (339, kind))
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, number) for tag, number in tags)
    start = struct.pack('<2sHI', b'II', 42, 8 + len(pixels))
    return start + pixels + struct.pack('<H', len(tags)) + entries + bytes(4)


def long_row(width: int) -> bytes:
    """Returns a compressed RGB TIFF whose header claims `width` x 1."""
    tags = ((256, width), (257, 1), (258, 8), (259, 5), (262, 6), (273, 8), (277, 3), (278, 1), (279, 200))
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, number) for tag, number in tags)
    return (
        struct.pack('<2sHI', b'II', 42, 208) + bytes(200) + struct.pack('<H', len(tags)) + entries + bytes(4)
    )


def webp_of(width: int) -> bytes:
    """Returns a lossless WebP whose header claims width x width."""
    file = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(file, 'WEBP', lossless=True)
    data = bytearray(file.getvalue())
    (bits,) = struct.unpack_from('<I', data, 21)
    struct.pack_into('<I', data, 21, bits & ~(2**28 - 1) | (width - 1) << 14 | (width - 1))
    return bytes(data)


JPEG = encoded('JPEG')
BOMB = png(LARGE, LARGE, zlib.compress(bytes(LARGE * (LARGE + 1)), 1))
CONTENT: dict[str, Callable[[int], bytes]] = {
    **{f'cut.{kind.lower()}': cut(kind) for kind in ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP')},
    'empty.png': lambda index: b'',
    'page.jpg': lambda index: b'<html>404 not found</html>' * index,
    'program.png': lambda index: b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n',
    'noise.tif': lambda index: np.random.default_rng(index).bytes(300),
    'broken_stream.png': lambda index: png(32, 32, b'x\x9c' + bytes(index)),
    'no_pixels.png': lambda index: png(0, index, zlib.compress(b'')),
    'bomb.png': lambda index: BOMB,
    'huge.png': lambda index: png(HUGE, HUGE, zlib.compress(bytes(1000)), colour=2),
    'huge.jpg': lambda index: claims('JPEG', JPEG.index(b'\xff\xc0') + 5, HUGE, '>HH'),
    'huge.bmp': lambda index: claims('BMP', 18, HUGE, '<ii'),
    'huge.webp': lambda index: webp_of(16_383),
    'huge.tiff': lambda index: tiff(np.int32, 5, width=2**30),
    'long_row.tiff': lambda index: long_row(2**26),
    'nan.tiff': lambda index: tiff(np.float32, np.nan),
    'wide_integers.tiff': lambda index: tiff(np.int32, 70_000 + index),
}


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**31)


def _forbidden(path: Path) -> None:
    path.write_bytes(encoded('PNG'))
    path.chmod(0)


SPECIAL: dict[str, Callable[[Path], None]] = {
    'loop.png': lambda path: path.symlink_to(path.name),
    'dangling.png': lambda path: path.symlink_to('no_such_file'),
    'endless.png': lambda path: path.symlink_to('/dev/zero'),
    'waiting.png': os.mkfifo,
    'sparse.png': _sparse,
    'forbidden.png': _forbidden,
}
NAMES = (
    'plain',
    'Žluťoučký_kůň',
    '写真',
    '🦓',
    'two\nlines',
    os.fsdecode(b'latin-\xe9'),
    'a "quoted" \\ name',
)


def write(folder: Path, count: int) -> None:
    """Writes `count` files, of every kind in turn and under names of every kind in turn."""
    folder.mkdir(parents=True)
    kinds = itertools.cycle((*CONTENT, *SPECIAL))
    for index, (kind, name) in enumerate(zip(kinds, itertools.cycle(NAMES), strict=False)):
        if index == count:
            return
        path = folder / f'{name}_{index}_{kind}'
        if kind in SPECIAL:
            SPECIAL[kind](path)
        else:
            path.write_bytes(CONTENT[kind](index))
