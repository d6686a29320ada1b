"""Builders of TFDS that make small data sets: of every kind of splits, labels and images, and broken ones."""

import io
from types import MappingProxyType

import PIL.Image
import tensorflow_datasets as tfds

COLOURS = {'cat': 10, 'dog': 20, 'fox': 30}


def png(*values):
    mode = {1: 'L', 3: 'RGB', 4: 'RGBA'}[len(values)]
    file = io.BytesIO()
    PIL.Image.new(mode, (5, 7), values if len(values) > 1 else values[0]).save(file, 'PNG')
    file.seek(0)
    return file


def png_of(pixels):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, 'PNG')
    return file.getvalue()


class Made(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder of real records. An image's pixels are its label's colour and its number."""

    VERSION = tfds.core.Version('1.0.0')
    SPLITS = MappingProxyType({'train': 20, 'test': 4})
    LABELS = tuple(COLOURS)
    CHANNELS = 3
    secret_test = False

    def _info(self):
        features = {'image': tfds.features.Image(shape=(None, None, self.CHANNELS), encoding_format='png')}
        if self.LABELS:
            features['label'] = tfds.features.ClassLabel(names=self.LABELS)
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), license='made here'
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name, count) for name, count in self.SPLITS.items()}

    def _generate_examples(self, split, count):
        for index in range(count):
            name = self.LABELS[index % len(self.LABELS)] if self.LABELS else 'cat'
            values = (COLOURS[name], index, split.startswith('train'), 0)[: self.CHANNELS]
            row = {'image': png(*values)}
            if self.LABELS:
                row['label'] = -1 if self.secret_test and split == 'test' else name
            yield f'{split}{index}', row


class Letters(Made, skip_registration=True):
    SPLITS = MappingProxyType({'trainA': 5, 'trainB': 6, 'testA': 2, 'testB': 3})


class Plain(Made, skip_registration=True):
    SPLITS = MappingProxyType({'train': 50})


class Secret(Made, skip_registration=True):
    SPLITS = MappingProxyType({'train': 20, 'test': 4, 'validation': 6})
    secret_test = True


class Several(Made, skip_registration=True):
    SPLITS = MappingProxyType({'val': 4, 'validation': 5, 'test': 6, 'train': 20})


class WithoutTest(Made, skip_registration=True):
    SPLITS = MappingProxyType({'val': 4, 'validation': 5, 'train': 20})


class Transparent(Made, skip_registration=True):
    CHANNELS = 4


class Grey(Made, skip_registration=True):
    CHANNELS = 1


class Unlabelled(Made, skip_registration=True):
    LABELS = ()


class Odd(Made, skip_registration=True):
    SPLITS = MappingProxyType({'all_of_it': 5})


class NeedsTensorFlow(Made, skip_registration=True):
    def _split_generators(self, dl_manager):
        raise ImportError("Failed importing tensorflow: No module named 'tensorflow'")


class Broken(Made, skip_registration=True):
    """One dog of the training images is cut short, and every fox."""

    def _generate_examples(self, split, count):
        for key, row in super()._generate_examples(split, count):
            if key == 'train1' or row['label'] == 'fox':
                row['image'] = io.BytesIO(row['image'].getvalue()[:30])
            yield key, row
