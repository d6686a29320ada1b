"""The configs: every file builds, every value is checked, arguments are typed."""

import dataclasses
import importlib
import pathlib

import jax
import pytest

from configs import common
from gan_transfer import data, run_config, sharding
from gan_transfer.errors import UserError
from gan_transfer.experiment import make_experiment
from gan_transfer.methods import METHODS

FILES = sorted(
    path.stem for path in pathlib.Path(common.__file__).parent.glob('[!_]*.py') if path.stem != 'common'
)


@pytest.mark.parametrize('name', FILES)
def test_every_config_is_valid_and_builds(name):
    config = importlib.import_module(f'configs.{name}').get_config()
    common.validate(config)
    domains = len(config.data.domains) or (3 if config.method.name == 'stargan_v2' else 2)
    mesh = sharding.make_mesh(jax.devices()[:1])
    experiment = make_experiment(config, domains=domains, mesh=mesh)
    method = experiment.method
    batch = data.abstract_batch(config, method.batch_fields, method.latent_size, mesh)
    state, scalars = jax.eval_shape(
        experiment.train_step, experiment.abstract_state, batch, jax.random.key(0)
    )
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), experiment.abstract_state
    )
    assert all(value.shape == () for value in scalars.values())


@pytest.mark.parametrize('name', FILES)
def test_the_decay_moves_with_the_length_of_a_training(name):
    config = importlib.import_module(f'configs.{name}').get_config()
    if config.optimizer.schedule != 'constant':
        share = config.optimizer.decay_start_images / config.train_images
        config.train_images *= 10
        assert config.optimizer.decay_start_images == share * config.train_images
        config.optimizer.decay_start_images = 7
        assert run_config.flat(config)['optimizer.decay_start_images'] == 7
        common.validate(config)


@pytest.mark.parametrize('name', FILES)
def test_every_config_says_how_to_run_it(name):
    docstring = importlib.import_module(f'configs.{name}').__doc__
    assert f'--config=configs/{name}.py' in docstring


@pytest.mark.parametrize('name', METHODS)
def test_a_method_has_every_field_and_round_trips(name, tmp_path):
    config = common.get_config()
    config.method = common.method(name)
    assert set(config.method) == {'name', *(field.name for field in dataclasses.fields(METHODS[name]))}
    run_config.save(tmp_path, config)
    assert run_config.load(tmp_path).to_dict() == config.to_dict()


def test_changed_keys_are_listed(tmp_path):
    config = common.get_config()
    run_config.save(tmp_path, config)
    assert run_config.check_unchanged(tmp_path, config, allow_change=False) == []
    config.optimizer.networks = {'discriminator_a': {'learning_rate': 1e-3}}
    config.data.domains = ('a', 'b')
    with pytest.raises(UserError, match=r'data.domains: \[\] -> \["a", "b"\]'):
        run_config.check_unchanged(tmp_path, config, allow_change=False)
    lines = run_config.check_unchanged(tmp_path, config, allow_change=True)
    assert 'optimizer.networks.discriminator_a.learning_rate: none -> 0.001' in lines


@pytest.mark.parametrize(
    ('key', 'value', 'parts'),
    [
        ('method.name', 'cycelgan', ('cycelgan', "'cyclegan'", 'stargan_v2')),
        ('method.adversarial', 'lsgn', ('lsgn', 'lsgan', 'hinge')),
        ('method.regularize_every', 0, ('regularize_every',)),
        ('image_size', 30, ('image_size is 30', 'multiple of 4')),
        ('batch_size', 0, ('batch_size is 0', 'from 1')),
        ('batch_size', 6, ('batch_size is 6', 'multiple of 4')),
        ('train_images', -1, ('train_images is -1',)),
        ('compute_dtype', 'float16', ('float16', 'bfloat16')),
        ('average_decay', 1.0, ('average_decay is 1.0', 'below 1')),
        ('keep_checkpoints', 0, ('keep_checkpoints',)),
        ('checkpoint.on_damage', 'ignore', ("checkpoint.on_damage 'ignore'", 'error, fallback')),
        ('on_divergence', 'rolback', ("did you mean 'rollback'", 'stop')),
        ('max_rollbacks', -1, ('max_rollbacks is -1',)),
        ('optimizer.learning_rate', 0.0, ('optimizer.learning_rate is 0.0', 'above 0')),
        ('optimizer.schedule', 'step', ('step', 'cosine')),
        ('optimizer.networks', {'discriminator_a': {'learning_rate': -1.0}}, ('learning_rate is -1.0',)),
        ('method.generator_width', 0, ('generator_width is 0', 'above 0')),
        ('optimizer.b1', 1.5, ('optimizer.b1',)),
        ('optimizer.networks', {'generatr_a_to_b': {}}, ('generatr_a_to_b', "'generator_a_to_b'")),
        ('optimizer.networks', {'discriminator_a': {'lr': 1.0}}, ("'lr'", 'learning_rate')),
        ('data.source', 'emojis', ('emojis', "'emoji'", 'folder', 'tfds:')),
        ('data.source', 'tfds:', ('tfds:',)),
        ('data.source', 'folder', ('data.path',)),
        ('data.domains', ('twemoji', 'twemoji'), ('twice',)),
        ('data.augmentation', 'crop', ('resize_crop',)),
        ('data.crop_scale', (0.5, 1.2), ('data.crop_scale',)),
        ('data.crop_aspect', (1.1, 0.9), ('data.crop_aspect',)),
        ('data.crop_probability', 1.5, ('data.crop_probability is 1.5', 'to 1')),
        ('data.background', (0, 0), ('data.background',)),
        ('data.threads', 0, ('data.threads',)),
        ('data.background', ('a', 'b', 'c'), ("data.background is 'a'", 'a number')),
        ('data.crop_scale', (0.5, None), ('data.crop_scale is None',)),
        ('seed', 2**63, ('seed is 9223372036854775808',)),
        ('optimizer.networks', {'discriminator_a': 5}, ('optimizer.networks.discriminator_a is 5',)),
        (
            'optimizer.networks',
            {'discriminator_a': {'learning_rate': 'x'}},
            ("learning_rate is 'x'", 'a number'),
        ),
    ],
)
def test_every_value_out_of_range_is_one_line(key, value, parts):
    config = common.get_config()
    common.validate(config, num_devices=4)
    with config.unlocked():
        config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError) as caught:
        common.validate(config, num_devices=4)
    message = str(caught.value)
    assert '\n' not in message
    for part in parts:
        assert part in message


def test_a_decay_starts_before_the_end():
    config = common.get_config()
    config.optimizer.schedule, config.optimizer.decay_start_images = 'linear', config.train_images
    with pytest.raises(UserError, match='decay_start_images is 200000'):
        common.validate(config)


def test_accumulation_divides_the_batch():
    config = common.get_config()
    config.batch_size, config.accumulation = 24, 3
    common.validate(config, num_devices=4)
    config.accumulation = 4
    with pytest.raises(UserError, match='multiple of 16, such as 16'):
        common.validate(config, num_devices=4)


def test_a_method_refuses_fields_that_it_has_not():
    with pytest.raises(UserError, match="did you mean 'cycle_weight'"):
        common.method('cyclegan', cycle_wieght=1.0)


def test_arguments_have_the_types_of_their_defaults():
    defaults = {'size': 64, 'rate': 0.5, 'name': 'a', 'tiny': False}
    parsed = common.parse('size=128, tiny,rate=1,name=b', **defaults)
    assert vars(parsed) == {'size': 128, 'rate': 1.0, 'name': 'b', 'tiny': True}
    assert vars(common.parse('', **defaults)) == defaults
    assert common.parse('tiny=false', **defaults).tiny is False
    for text, part in (('size=x', 'int'), ('size', 'value'), ('tiny=2', 'true'), ('tniy', "'tiny'")):
        with pytest.raises(UserError, match=part):
            common.parse(text, **defaults)


def test_names_on_a_command_line_are_split():
    config = common.get_config()
    config.data.domains = ('twemoji,openmoji',)
    assert common.resolve(config).data.domains == ('twemoji', 'openmoji')
