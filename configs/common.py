"""Every key of a config with its default and unit, the parser of `--config=FILE:ARGUMENTS`, and `validate`.

An experiment's file starts from `get_config()` and writes down what differs:

    config = common.get_config()
    config.method = common.method('stargan_v2', style_size=64)
    config.batch_size = 8

Durations are in images seen: a step sees `batch_size` images, whatever a method does with them.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from ml_collections import ConfigDict, config_dict

from configs._arguments import choices as _choices
from configs._arguments import parse as parse
from gan_transfer import sharding
from gan_transfer.errors import UserError, from_user
from gan_transfer.methods import METHODS

AUGMENTATIONS = ('resize_crop', 'random_resized_crop', 'none')
SCHEDULES = ('constant', 'linear', 'cosine')
COMPUTE_DTYPES = ('float32', 'bfloat16')
POSITIVE = (
    *('image_size', 'batch_size', 'train_images', 'accumulation', 'keep_checkpoints', 'evaluate_batch_size'),
    *('log_every_images', 'sample_every_images', 'checkpoint_every_images', 'sample_rows', 'sample_columns'),
    *('data.threads', 'data.prefetch'),
)
SOURCES = ('emoji', 'glyphs', 'pets', 'folder', 'tfds:<builder>/<config>')


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
    data.source = 'emoji'  # one of SOURCES
    data.path = ''  # root of the folders, for `folder`
    data.domains = ()  # names, in order; empty: all that the source has
    data.count = 3_000  # pets: how many, before the split; each is one image in every domain
    data.share_keys = False  # emoji, glyphs, pets: the same keys in every domain's training set
    data.cache = ''  # folder of prepared data; empty: $GAN_TRANSFER_CACHE or ~/.cache/gan_transfer
    data.augmentation = 'resize_crop'  # one of AUGMENTATIONS
    data.resize_ratio = 286 / 256  # resize_crop: size before the crop, over image_size
    data.crop_probability = 0.5  # random_resized_crop: of cropping at all
    data.crop_scale = (0.8, 1.0)  # random_resized_crop: share of the area
    data.crop_aspect = (0.9, 1.1)  # random_resized_crop: width over height
    data.flip = True  # mirror half of the images
    data.background = (255, 255, 255)  # RGB, what transparent pixels are put on
    data.max_corrupt_share = 0.01  # of unreadable images; more is an error before training
    data.threads = 4  # that read and augment
    data.prefetch = 8  # batches made ahead
    return data


def _optimizer() -> ConfigDict:
    optimizer = ConfigDict()  # Adam
    optimizer.learning_rate = 2e-4
    optimizer.b1 = 0.5
    optimizer.b2 = 0.999
    optimizer.weight_decay = 0.0  # L2, added to the gradient before Adam
    optimizer.gradient_clip = 0.0  # of the norm, per network; 0 is off
    optimizer.schedule = 'constant'  # one of SCHEDULES; a decay ends at 0 at train_images
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
    for part, key in (('data', 'domains'), ('evaluation', 'protocols')):
        names = ','.join(map(str, config[part][key])).split(',')
        config[part][key] = tuple(name.strip() for name in names if name.strip())
    counts = ','.join(map(str, config.evaluation.counts)).split(',')
    with from_user():
        config.evaluation.counts = tuple(int(count) for count in counts if count.strip())
    return config


def validate(config: ConfigDict, num_devices: int | None = None) -> None:
    """Checks every value that can be checked without data; what depends on the devices, for a training on so many.

    Raises:
      UserError: with the key, the value and the choices.
    """
    _one_of(config, 'compute_dtype', COMPUTE_DTYPES)
    _one_of(config, 'data.augmentation', AUGMENTATIONS)
    _one_of(config, 'checkpoint.on_damage', ('error', 'fallback'))
    _one_of(config, 'on_divergence', ('stop', 'rollback'))
    for key in POSITIVE:
        _within(config, key, 1)
    _within(config, 'seed', 0, 2**63 - 1)
    for key in ('evaluate_every_images', 'evaluation.gallery_images', 'max_rollbacks'):
        _within(config, key, 0)
    _within(config, 'evaluation.resamples', 2)
    for key in ('data.crop_probability', 'data.max_corrupt_share'):
        _within(config, key, 0, 1)
    _within(config, 'average_decay', 0, 1, below=True)
    _validate_optimizer(config, 'optimizer', [key for key in config.optimizer if key != 'networks'])
    _within(config, 'data.resize_ratio', 1)
    _validate_data(config.data)
    if config.image_size % 4:
        raise UserError(f'image_size is {config.image_size}; it must be a multiple of 4')
    _validate_method(config)
    start = config.optimizer.decay_start_images
    if config.optimizer.schedule != 'constant' and start >= config.train_images:
        raise UserError(
            f'optimizer.decay_start_images is {start}; a {config.optimizer.schedule} schedule must start to decay '
            f'before train_images, {config.train_images}'
        )
    _validate_mesh(config, num_devices)


def _validate_mesh(config: ConfigDict, num_devices: int | None) -> None:
    shares = 1
    if num_devices is not None:
        with from_user():
            data, fsdp, spatial = sharding.mesh_sizes(num_devices, **config.mesh)
        shares = data * fsdp
        if config.image_size % spatial:
            raise UserError(f'image_size is {config.image_size}; mesh.spatial, {spatial}, must divide it')
    parts = shares * config.accumulation
    if config.batch_size % parts:
        near = max(config.batch_size // parts, 1) * parts
        raise UserError(
            f'batch_size is {config.batch_size}; {shares} device(s) with {config.accumulation} accumulated '
            f'microbatch(es) need a multiple of {parts}, such as {near}'
        )


def _validate_method(config: ConfigDict) -> None:
    fields = config.method.to_dict()
    name = fields.pop('name', None)
    if name not in METHODS:
        raise UserError(f'unknown method.name {name!r}{_choices(str(name), METHODS)}')
    known = [field.name for field in dataclasses.fields(METHODS[name])]
    for key in fields:
        if key not in known:
            raise UserError(f'{name} has no field {key!r}{_choices(key, known)}')
    with from_user():
        method = METHODS[name](**fields)
        # How many domains the data has is seen later, where the config leaves it open.
        method.check(config.image_size, len(config.data.domains) or 2)
    names = sorted({network for phase in method.phases() for network in phase.networks})
    for network, values in config.optimizer.networks.items():
        if network not in names:
            raise UserError(f'optimizer.networks names {network!r}{_choices(network, names)}')
        if not isinstance(values, ConfigDict):
            raise UserError(
                f'optimizer.networks.{network} is {values!r}; it takes keys with values, as optimizer has'
            )
        for key in values:
            if key == 'networks' or key not in config.optimizer:
                choices = [k for k in config.optimizer if k != 'networks']
                raise UserError(f'optimizer.networks.{network} has no key {key!r}{_choices(key, choices)}')
        _validate_optimizer(config, f'optimizer.networks.{network}', values)


def _validate_optimizer(config: ConfigDict, place: str, keys: Iterable[str]) -> None:
    """Checks the optimizer's values at `place`: those of all networks, or a network's own."""
    for key in keys:
        if key == 'schedule':
            _one_of(config, f'{place}.{key}', SCHEDULES)
        elif key in ('b1', 'b2'):
            _within(config, f'{place}.{key}', 0, 1, below=True)
        else:
            _within(config, f'{place}.{key}', 0, above=key == 'learning_rate')


def _validate_data(data: ConfigDict) -> None:
    tfds = data.source.startswith('tfds:') and len(data.source) > len('tfds:')
    if not tfds and data.source not in SOURCES[:-1]:
        raise UserError(f'unknown data.source {data.source!r}{_choices(data.source, SOURCES)}')
    if data.source == 'pets' and not 100 <= data.count <= 1_000_000:
        raise UserError(f'data.count is {data.count}; it must be from 100 to 1000000')
    if data.source == 'folder' and not data.path:
        raise UserError('data.source is folder, which needs data.path: the folder with the images')
    if len(set(data.domains)) != len(data.domains):
        raise UserError(f'data.domains names one twice: {", ".join(data.domains)}')
    for key in ('crop_scale', 'crop_aspect'):
        bounds = [_number(f'data.{key}', bound) for bound in data[key]]
        if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1]:
            raise UserError(f'data.{key} is {tuple(bounds)}; it takes two numbers, 0 < low <= high')
    if data.crop_scale[1] > 1:
        raise UserError(f'data.crop_scale is {tuple(data.crop_scale)}; an area share ends at 1')
    background = [_number('data.background', value) for value in data.background]
    if len(background) != 3 or not all(0 <= value <= 255 for value in background):
        raise UserError(f'data.background is {tuple(data.background)}; it takes red, green, blue of 0..255')


def _one_of(config: ConfigDict, key: str, choices: tuple[str, ...]) -> None:
    value = _get(config, key)
    if value not in choices:
        raise UserError(f'unknown {key} {value!r}{_choices(str(value), choices)}')


def _within(
    config: ConfigDict,
    key: str,
    low: float,
    high: float = float('inf'),
    *,
    above: bool = False,
    below: bool = False,
) -> None:
    value = _number(key, _get(config, key))
    if not low <= value <= high or (above and value == low) or (below and value == high):
        end = f' {"to below" if below else "to"} {high}' if high < float('inf') else ' on'
        raise UserError(f'{key} is {value}; it must be {"above" if above else "from"} {low}{end}')


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f'{key} is {value!r}; it must be a number')
    return value


def _get(config: ConfigDict, key: str) -> Any:
    for part in key.split('.'):
        config = config[part]
    return config
