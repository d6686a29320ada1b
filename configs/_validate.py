"""What the values of a config may be, as far as that can be told without data."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from ml_collections import ConfigDict

from configs._arguments import choices as _choices
from gan_transfer import sharding
from gan_transfer.errors import UserError, from_user
from gan_transfer.evaluation.protocols import PROTOCOLS
from gan_transfer.methods import METHODS
from gan_transfer.optimizer import SCHEDULES

AUGMENTATIONS = ('resize_crop', 'random_resized_crop', 'none')
COMPUTE_DTYPES = ('float32', 'bfloat16')
POSITIVE = (
    *('image_size', 'batch_size', 'train_images', 'accumulation', 'keep_checkpoints', 'evaluate_batch_size'),
    *('log_every_images', 'sample_every_images', 'checkpoint_every_images', 'sample_rows', 'sample_columns'),
    *('data.threads', 'data.prefetch'),
)
PETS = 3_000  # of data.count, where nothing else is asked for
SOURCES = ('emoji', 'glyphs', 'pets', 'folder', 'tfds:<builder>/<config>')


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
    _within(config, 'seed', 0, 2**32 - 1)  # of a larger one JAX takes the lower 32 bits
    for key in ('evaluate_every_images', 'evaluation.gallery_images', 'max_rollbacks'):
        _within(config, key, 0)
    _within(config, 'evaluation.resamples', 2)
    for count in config.evaluation.counts:
        if _number('evaluation.counts', count) < 1:
            raise UserError(f'evaluation.counts is {tuple(config.evaluation.counts)}; each must be from 1 on')
    for name in config.evaluation.protocols:
        if name not in PROTOCOLS:
            raise UserError(f'unknown name {name!r} in evaluation.protocols{_choices(str(name), PROTOCOLS)}')
    for key in ('data.crop_probability', 'data.max_corrupt_share'):
        _within(config, key, 0, 1)
    _within(config, 'average_decay', 0, 1, below=True)
    _validate_optimizer(config, 'optimizer', [key for key in config.optimizer if key != 'networks'])
    _validate_decay(config, 'optimizer', config.optimizer)
    _within(config, 'data.resize_ratio', 1)
    _validate_data(config.data)
    if config.image_size % 4:
        raise UserError(f'image_size is {config.image_size}; it must be a multiple of 4')
    _validate_method(config)
    _validate_mesh(config, num_devices)


def _validate_mesh(config: ConfigDict, num_devices: int | None) -> None:
    shares = 1
    with from_user():
        sharding.check_sizes(**config.mesh)
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
        method.check_batch(config.batch_size // config.accumulation)
    names = sorted(method.trained())
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
        _validate_decay(config, f'optimizer.networks.{network}', values)


def _validate_optimizer(config: ConfigDict, place: str, keys: Iterable[str]) -> None:
    """Checks the optimizer's values at `place`: those of all networks, or a network's own."""
    for key in keys:
        if key == 'schedule':
            _one_of(config, f'{place}.{key}', SCHEDULES)
        elif key in ('b1', 'b2'):
            _within(config, f'{place}.{key}', 0, 1, below=True)
        else:
            _within(config, f'{place}.{key}', 0, above=key == 'learning_rate')


def _validate_decay(config: ConfigDict, place: str, values: ConfigDict) -> None:
    """Checks when the learning rate at `place` begins to fall, by its own values or else those of all networks."""
    schedule, start = (values.get(key, config.optimizer[key]) for key in ('schedule', 'decay_start_images'))
    if schedule != 'constant' and start >= config.train_images:
        raise UserError(
            f'{place}.decay_start_images is {start}; a {schedule} schedule must start to decay before train_images, '
            f'{config.train_images}'
        )
    if schedule == 'constant' and 'decay_start_images' in values and values is not config.optimizer:
        raise UserError(
            f'{place}.decay_start_images is {start}, but its schedule is constant and never decays'
        )


def _validate_data(data: ConfigDict) -> None:
    tfds = data.source.startswith('tfds:') and len(data.source) > len('tfds:')
    if not tfds and data.source not in SOURCES[:-1]:
        raise UserError(f'unknown data.source {data.source!r}{_choices(data.source, SOURCES)}')
    if data.source == 'pets' and not 100 <= data.count <= 1_000_000:
        raise UserError(f'data.count is {data.count}; it must be from 100 to 1000000')
    if data.source == 'folder' and not data.path:
        raise UserError('data.source is folder, which needs data.path: the folder with the images')
    if data.source != 'folder' and data.path:
        raise UserError(f'data.path is {data.path!r}, but data.source is {data.source}; only folder reads it')
    if data.source != 'pets' and data.count != PETS:
        raise UserError(
            f'data.count is {data.count}, but data.source is {data.source}; only pets reads it, others want {PETS}'
        )
    if data.share_keys and (tfds or data.source == 'folder'):
        raise UserError(f'data.share_keys is for emoji, glyphs and pets; data.source is {data.source}')
    if len(set(data.domains)) != len(data.domains):
        raise UserError(f'data.domains names one twice: {", ".join(data.domains)}')
    for key in ('crop_scale', 'crop_aspect'):
        low, high = _numbers(data, key, 2, 'two numbers, 0 < low <= high')
        if not 0 < low <= high:
            raise UserError(f'data.{key} is {(low, high)}; it takes two numbers, 0 < low <= high')
    if data.crop_scale[1] > 1:
        raise UserError(f'data.crop_scale is {tuple(data.crop_scale)}; an area share ends at 1')
    colour = 'red, green, blue of 0..255'
    if not all(0 <= value <= 255 for value in _numbers(data, 'background', 3, colour)):
        raise UserError(f'data.background is {tuple(data.background)}; it takes {colour}')


def _numbers(data: ConfigDict, key: str, count: int, what: str) -> list[float]:
    if len(data[key]) != count:
        raise UserError(f'data.{key} is {tuple(data[key])}; it takes {what}')
    return [_number(f'data.{key}', value) for value in data[key]]


def _one_of(config: ConfigDict, key: str, choices: tuple[str, ...]) -> None:
    value = _get(config, key)
    if value not in choices:
        raise UserError(f'unknown {key} {value!r}{_choices(str(value), choices)}')


def _within(
    config: ConfigDict,
    key: str,
    low: float,
    high: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
) -> None:
    value = _number(key, _get(config, key))
    if not low <= value <= high or (above and value == low) or (below and value == high):
        start = f'above {low}' if above else f'from {low}'
        end = f' {"to below" if below else "to"} {high}' if high < math.inf else '' if above else ' on'
        raise UserError(f'{key} is {value}; it must be {start}{end}')


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f'{key} is {value!r}; it must be a number')
    if not math.isfinite(value):
        raise UserError(f'{key} is {value}; it must be finite')
    return value


def _get(config: ConfigDict, key: str) -> Any:
    for part in key.split('.'):
        config = config[part]
    return config
