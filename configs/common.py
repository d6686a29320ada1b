"""Every key of a config with its default and unit, the parser of `--config=FILE:ARGUMENTS`, and `validate`.

An experiment's file starts from `get_config()` and writes down what differs:

    config = common.get_config()
    config.method = common.method('stargan_v2', style_size=64)
    config.batch_size = 8

Durations are in images seen: a step sees `batch_size` images, whatever a method does with them.
"""

import dataclasses
from typing import Any

from ml_collections import ConfigDict, config_dict

from configs._arguments import choices as _choices
from configs._arguments import parse as parse
from configs._validate import PETS
from configs._validate import validate as validate
from gan_transfer.errors import UserError
from gan_transfer.methods import METHODS


def get_config() -> ConfigDict:
    """Returns all keys with their defaults."""
    config = ConfigDict()
    config.method = method('cyclegan')  # `name` and the fields of the method's class: its hyper-parameters
    config.image_size = 64  # px, images are square; a multiple of 4
    config.batch_size = 8  # images a step on all devices; a multiple of mesh.data * mesh.fsdp * accumulation
    config.train_images = 200_000  # images seen: the length of the training
    config.seed = 0  # initial weights, order of the data, augmentation, latents, samples
    config.data = _data()
    config.optimizer = _optimizer()
    config.average_decay = 0.0  # of the moving average of weights, per step; 0 keeps none
    config.compute_dtype = 'float32'  # of the networks' arithmetic; parameters are float32
    config.rematerialize = False  # recompute activations in the backward pass: less memory, more time
    config.mesh = _mesh()
    config.accumulation = 1  # microbatches that a step's gradients are averaged over
    config.log_every_images = 2_000
    config.sample_every_images = 20_000
    config.sample_rows = 6  # sources in a sample grid
    config.sample_columns = 6  # target images in a sample grid, for methods that take one
    config.checkpoint_every_images = 20_000
    config.keep_checkpoints = 2  # the newest so many stay
    config.checkpoint = ConfigDict({'on_damage': 'error'})  # or 'fallback' to the newest good one
    config.on_divergence = 'stop'  # or 'rollback' to the newest checkpoint
    config.max_rollbacks = 3  # in all, each with the data in another order
    config.evaluate_every_images = 0  # and at the end; keeps the best beside the newest; 0: never
    config.evaluate_batch_size = 32  # images; changes no number; a multiple of the devices uses all of them
    config.evaluation = _evaluation()
    return config


def _mesh() -> ConfigDict:
    """The devices, in three directions; it changes no training, so that a run's may be changed."""
    mesh = ConfigDict()
    mesh.data = 0  # parts of the batch; 0: all devices that the others leave
    mesh.fsdp = 1  # parts of parameters, optimizer states and averages; splits the batch too
    mesh.spatial = 1  # parts of the images' height
    return mesh


def _data() -> ConfigDict:
    data = ConfigDict()
    data.source = 'emoji'  # emoji, glyphs, pets, folder, or tfds:BUILDER/CONFIG
    data.path = ''  # root of the folders, for `folder`
    data.domains = ()  # names, in order; empty: all that the source has
    data.count = PETS  # pets: how many, before the split; each is one image in every domain
    data.share_keys = False  # emoji, glyphs, pets: the same keys in every domain's training set
    data.cache = ''  # folder of prepared data; empty: $GAN_TRANSFER_CACHE or ~/.cache/gan_transfer
    data.augmentation = 'resize_crop'  # or random_resized_crop, or none
    data.resize_ratio = 286 / 256  # resize_crop: size before the crop, over image_size
    data.crop_probability = 0.5  # random_resized_crop: of cropping at all
    data.crop_scale = (0.8, 1.0)  # random_resized_crop: share of the area
    data.crop_aspect = (0.9, 1.1)  # random_resized_crop: width over height
    data.flip = True  # mirror half of the images
    data.background = (255, 255, 255)  # RGB, what transparent pixels of image files are put on
    data.max_corrupt_share = 0.01  # of unreadable images; more is an error before training
    data.threads = 4  # that read and augment
    data.prefetch = 8  # batches made ahead, data.threads at least; two more wait on the devices
    return data


def _optimizer() -> ConfigDict:
    optimizer = ConfigDict()  # Adam
    optimizer.learning_rate = 2e-4
    optimizer.b1 = 0.5
    optimizer.b2 = 0.999
    optimizer.weight_decay = 0.0  # L2, added to the gradient before Adam
    optimizer.gradient_clip = 0.0  # of the norm, per network; 0 is off
    optimizer.schedule = 'constant'  # or linear, cosine: a decay, which ends at 0 at train_images
    optimizer.decay_start_images = 0  # images seen when the decay starts
    # Network: values of its own, {'mapping_network': {'learning_rate': 1e-6}}.
    optimizer.networks = ConfigDict()
    return optimizer


def _evaluation() -> ConfigDict:
    evaluation = ConfigDict()  # changes no training, so that a run's may be changed at any time
    evaluation.protocols = ()  # names, see gan_transfer/evaluation/protocols.py; empty: ours that the data allows
    evaluation.counts = ()  # test images that each domain must have, in their order; empty: whatever is there
    evaluation.resamples = 50  # draws that the intervals are estimated from
    evaluation.gallery_images = 40  # of each direction on the gallery page; 0 writes none
    evaluation.inception = ''  # path of pt_inception-2015-12-05-*.pth, FID's own network
    evaluation.torchvision_inception = ''  # path of inception_v3_google-*.pth, for StarGAN v2's protocols
    evaluation.lpips_batch_mean = False  # also StarGAN v2's mean of the means of 32 images
    return evaluation


def method(name: str, **changes: Any) -> ConfigDict:
    """Returns `name` and every field of that method's class, with `changes` to the defaults.

    Raises:
      ValueError: for an unknown method or field.
    """
    if name not in METHODS:
        raise UserError(f'unknown method {name!r}{_choices(name, METHODS)}')
    fields = {field.name: _default(field) for field in dataclasses.fields(METHODS[name])}
    for key in changes:
        if key not in fields:
            raise UserError(f'{name} has no field {key!r}{_choices(key, fields)}')
    return ConfigDict({'name': name, **fields, **changes})


def _default(field: dataclasses.Field) -> Any:
    value = field.default if field.default is not dataclasses.MISSING else field.default_factory()
    # A plain None could not be overridden from the command line.
    return config_dict.placeholder(object) if value is None else value


def resolve(config: ConfigDict) -> ConfigDict:
    """Brings what a command line can write in several ways into one: `a,b` for a tuple of names."""
    of_method = [('method', key) for key, value in config.method.items() if _are_names(value)]
    for part, key in (('data', 'domains'), ('evaluation', 'protocols'), *of_method):
        names = ','.join(map(str, config[part][key])).split(',')
        config[part][key] = tuple(name.strip() for name in names if name.strip())
    counts = ','.join(map(str, config.evaluation.counts)).split(',')
    try:
        config.evaluation.counts = tuple(int(count) for count in counts if count.strip())
    except ValueError:
        raise UserError(f'evaluation.counts is {",".join(counts)!r}; it takes whole numbers') from None
    return config


def _are_names(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) for name in value)
