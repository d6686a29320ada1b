"""A run goes on over files that are no images, names every one, and takes no more memory for them."""

import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from gan_transfer.data.decode import FORMATS, printable, read_image
from tests.data import malformed

COUNT, GOOD = 1_000, (200, 100, 50)
# Root may read everything, unless it gives that right up before it starts what is to be tested.
WITHOUT_RIGHTS = (
    'import ctypes, os, sys\n'
    'libc, drop, override, search = ctypes.CDLL(None), 24, 1, 2\n'
    '[libc.prctl(drop, capability, 0, 0, 0) for capability in (override, search)]\n'
    'os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n'
)
PROGRAM = """
import json, pathlib, re, sys
import jax
from configs import common
from gan_transfer import data

def peak():
    return int(re.search(r'VmHWM:\\s+(\\d+) kB', pathlib.Path('/proc/self/status').read_text())[1]) * 1024

config = common.get_config()
config.image_size, config.batch_size = 8, 8
config.data.update(source='folder', path=sys.argv[1], cache=sys.argv[2], max_corrupt_share=1.0)
jax.devices()
before = peak()
dataset = data.open_dataset(config)
pipeline = data.make_pipeline(dataset, config, ('source', 'target'), 'two_domains')
batches = [next(pipeline)['source'] for _ in range(20)]
pipeline.close()
print(json.dumps({
    'names': dataset.faults.names,
    'colours': sorted({tuple(pixel) for batch in batches for pixel in batch.reshape(-1, 3).tolist()}),
    'bytes': peak() - before,
}))
"""


@pytest.mark.parametrize('kind', malformed.CONTENT)
def test_each_kind_is_refused_in_one_line(kind):
    with pytest.raises(ValueError, match=r'cannot be decoded: .|no image of a known format') as info:
        read_image(malformed.CONTENT[kind](1))
    assert '\n' not in str(info.value)


def test_what_the_formats_name_is_known_to_pillow():
    PIL.Image.init()
    assert set(FORMATS) <= set(PIL.Image.OPEN)


def test_a_wrong_ending_does_no_harm(tmp_path):
    (tmp_path / 'a_jpeg.png').write_bytes(malformed.JPEG)
    assert read_image(tmp_path / 'a_jpeg.png').shape == (32, 32, 3)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('写真 🦓 ž.png', '写真 🦓 ž.png'),
        ('a\nb', r'a\nb'),
        ('a\\nb', r'a\\nb'),
        (b'\xe9.png'.decode(errors='surrogateescape'), r'\udce9.png'),
    ],
)
def test_names_are_printable_and_stay_different(name, expected):
    assert printable(name) == expected
    printable(name).encode()


def test_a_thousand_malformed_files_are_counted_and_named_in_bounded_memory(root, tmp_path):
    folder = tmp_path / 'data'
    malformed.write(folder / 'trainA', COUNT)
    names = sorted(printable(f'trainA/{path.name}') for path in (folder / 'trainA').iterdir())
    for path in [*(folder / 'trainA' / f'{i}.png' for i in range(3)), folder / 'trainB' / '0.png']:
        path.parent.mkdir(exist_ok=True)
        PIL.Image.fromarray(np.full((8, 8, 3), GOOD, np.uint8)).save(path)
    result = subprocess.run(
        [sys.executable, '-c', WITHOUT_RIGHTS, '-c', PROGRAM, str(folder), str(tmp_path / 'cache')],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    told = json.loads(result.stdout)
    assert len(names) == COUNT
    assert sorted(told['names']) == names
    assert [tuple(colour) for colour in told['colours']] == [GOOD]
    assert told['bytes'] < 200 * 2**20
    assert [name for name in names if name not in result.stderr] == []
