"""Where images come from and how they become batches.

A source (emoji, glyphs, pets, folder, tfds) opens as a `Dataset`: domains of images with random access. The pipeline
turns it into batches that are a pure function of the seed and the step.
"""

from gan_transfer.data.dataset import Dataset, Example
from gan_transfer.data.decode import EXTENSIONS, has_image_name, printable, read_image
from gan_transfer.data.folder import list_images
from gan_transfer.data.pipeline import abstract_batch, check_dataset, make_pipeline
from gan_transfer.data.sources import open_dataset, prepare
from gan_transfer.data.transforms import resize, trained_by

__all__ = [
    'EXTENSIONS',
    'Dataset',
    'Example',
    'abstract_batch',
    'check_dataset',
    'has_image_name',
    'list_images',
    'make_pipeline',
    'open_dataset',
    'prepare',
    'printable',
    'read_image',
    'resize',
    'trained_by',
]
