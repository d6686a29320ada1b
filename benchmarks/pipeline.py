"""What the input pipeline delivers by itself, and what each stage of it costs: JPEG files at 256 px.

    python -m benchmarks.pipeline

Pictures are made here, of soft shapes and noise, at quality 90 (about 21 KB each).
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import PIL.Image
import rich.console
import rich.table

from configs import cyclegan_horse2zebra
from gan_transfer.data.dataset import Example, Images
from gan_transfer.data.decode import read_image
from gan_transfer.data.pipeline import make_pipeline
from gan_transfer.data.sources import open_dataset
from gan_transfer.data.transforms import make_augmentation

SIZE, PICTURES, BATCH = 256, 64, 16


class ReadAnew:
    """Images that are decoded at every use, as those of a set too large for the memory are."""

    def __init__(self, images: Images):
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        return Example(self._images.keys[index], self._images.read(index))


def make_pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the pictures as two domains, and returns their files."""
    random, files = np.random.default_rng(0), []
    for domain in 'AB':
        for split, count in (('train', PICTURES), ('test', 1)):
            there = folder / f'{split}{domain}'
            there.mkdir(parents=True)
            for i in range(count):
                coarse = PIL.Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
                soft = np.asarray(coarse.resize((SIZE, SIZE), PIL.Image.Resampling.BICUBIC), np.float32)
                noisy = soft + random.normal(scale=8, size=soft.shape)
                files.append(there / f'{i}.jpg')
                PIL.Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(files[-1], quality=90)
    return files


def milliseconds(function: Callable[[], object], repetitions: int = 100) -> float:
    """Returns the median time of one call."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def measure(folder: pathlib.Path, batches: int) -> dict[str, float]:
    """Returns milliseconds an image by stage, and images a second of the whole."""
    files = make_pictures(folder)
    config = cyclegan_horse2zebra.get_config()
    config.data.source, config.data.path, config.data.cache = 'folder', str(folder), str(folder / 'cache')
    config.batch_size = BATCH
    augment, random, data = make_augmentation(config), np.random.default_rng(0), files[0].read_bytes()
    image = read_image(data)
    stages = {
        'read a file': milliseconds(files[0].read_bytes),
        'decode JPEG': milliseconds(lambda: read_image(data)),
        'resize to 286, crop to 256, mirror': milliseconds(lambda: augment(image, random)),
    }
    rates = {}
    dataset = open_dataset(config)
    anew = {domain: ReadAnew(images) for domain, images in dataset.train.items()}
    dataset = dataclasses.replace(dataset, train=anew)
    stream = make_pipeline(dataset, config, ('source', 'target'), 'two_domains')
    for _ in range(10):
        next(stream)
    started, used = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(stream)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    stream.close()
    images = 2 * BATCH * batches
    rates['images a second'] = images / seconds
    rates['images a second of one core'] = images / used
    return {**stages, **rates, 'kilobytes a file': len(data) / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--batches', type=int, default=60)
    parser.add_argument('--output', default='', help='JSON file to write')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(pathlib.Path(folder), arguments.batches)
    table = rich.table.Table('what', 'value')
    for name, value in result.items():
        table.add_row(name, f'{value:.2f}' if value < 10 else f'{value:.0f}')
    rich.console.Console().print(table)
    if arguments.output:
        document = {'cores': len(os.sched_getaffinity(0)), **result}
        pathlib.Path(arguments.output).write_text(json.dumps(document, indent=2) + '\n')


if __name__ == '__main__':
    main()
