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

CONSTANT = ('stargan_v2', 'stargan_v2_afhq')  # rates that do not decay, as the paper's

# The papers' values, and their code's where the papers have none, written down once more: 1,334 zebras and 5,153 cats
# are an epoch.
_ADAM = {
    'optimizer.learning_rate': 2e-4,
    'optimizer.b1': 0.5,
    'optimizer.b2': 0.999,
    'optimizer.weight_decay': 0.0,
}
_LINEAR = {
    **{'optimizer.schedule': 'linear', 'batch_size': 1, 'image_size': 256, 'average_decay': 0.0, **_ADAM},
    **{'data.augmentation': 'resize_crop', 'data.resize_ratio': 286 / 256, 'data.flip': True},
    **{'method.generator_width': 64, 'method.discriminator_width': 64, 'method.discriminator_depth': 3},
}
_CUT = {
    **{**_LINEAR, 'method.adversarial': 'lsgan', 'method.generator_blocks': 9, 'method.initial_gain': 0.02},
    **{'method.patches': 256, 'method.temperature': 0.07, 'method.projection_width': 256},
    'method.nce_layers': ['padded', 'down_0', 'down_1', 'block_0', 'block_4'],
    **{'method.nce_weight': 1.0, 'method.identity': True, 'method.mirror': False, 'method.antialias': True},
}
_FAST = {**_CUT, 'method.nce_weight': 10.0, 'method.identity': False, 'method.mirror': True}
PUBLISHED = {
    'cyclegan_horse2zebra': {
        **{**_LINEAR, 'method.adversarial': 'lsgan', 'method.generator_blocks': 9, 'method.antialias': False},
        **{'method.cycle_weight': 10.0, 'method.identity_weight': 5.0, 'method.pool_size': 50},
        **{'train_images': 200 * 1334, 'optimizer.decay_start_images': 100 * 1334},
    },
    'cut_horse2zebra': {**_CUT, 'train_images': 400 * 1334, 'optimizer.decay_start_images': 200 * 1334},
    'cut_cat2dog': {**_CUT, 'train_images': 400 * 5153, 'optimizer.decay_start_images': 200 * 5153},
    'fastcut_horse2zebra': {**_FAST, 'train_images': 200 * 1334, 'optimizer.decay_start_images': 150 * 1334},
    'fastcut_cat2dog': {**_FAST, 'train_images': 200 * 5153, 'optimizer.decay_start_images': 150 * 5153},
    'pix2pix_facades': {
        **{**_LINEAR, 'method.adversarial': 'non_saturating', 'method.generator_depth': 8},
        **{'method.l1_weight': 100.0, 'method.dropout': 0.5, 'method.initial_deviation': 0.02},
        **{'train_images': 200 * 400, 'optimizer.decay_start_images': 100 * 400},
    },
    'stargan_v2_afhq': {
        **{'method.adversarial': 'non_saturating', 'method.r1_weight': 1.0, 'method.regularize_every': 1},
        **{'method.style_weight': 1.0, 'method.diversity_weight': 2.0, 'method.cycle_weight': 1.0},
        **{'method.diversity_images': 800_000, 'train_images': 800_000, 'batch_size': 8, 'image_size': 256},
        **{
            'method.latent_length': 16,
            'method.style_size': 64,
            'method.own_domain': True,
            'method.residual': False,
        },
        **{'method.passes': ['latent', 'reference'], 'method.reference_trains': 'generator'},
        **{'optimizer.learning_rate': 1e-4, 'optimizer.b1': 0.0, 'optimizer.b2': 0.99},
        **{'optimizer.weight_decay': 1e-4, 'optimizer.schedule': 'constant', 'average_decay': 0.999},
        'optimizer.networks.mapping_network.learning_rate': 1e-6,
        **{'data.augmentation': 'random_resized_crop', 'data.crop_probability': 0.5},
        **{'data.crop_scale': [0.8, 1.0], 'data.crop_aspect': [0.9, 1.1]},
    },
}


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


@pytest.mark.parametrize('name', [name for name in FILES if name not in CONSTANT])
def test_the_decay_moves_with_the_length_of_a_training(name):
    config = importlib.import_module(f'configs.{name}').get_config()
    assert config.optimizer.schedule != 'constant'
    share = config.optimizer.decay_start_images / config.train_images
    config.train_images *= 10
    assert config.optimizer.decay_start_images == share * config.train_images
    config.optimizer.decay_start_images = 7
    assert run_config.flat(config)['optimizer.decay_start_images'] == 7
    common.validate(config)


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_paper_s_config_has_the_published_values(name):
    found = run_config.flat(importlib.import_module(f'configs.{name}').get_config())
    assert {key: found[key] for key in PUBLISHED[name]} == PUBLISHED[name]


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
        ('data.background', (0, 0), ('data.background is (0, 0); it takes red, green, blue of 0..255',)),
        ('data.background', ('white',), ("data.background is ('white',); it takes red, green, blue",)),
        ('data.background', (0, 0, 256), ('data.background is (0, 0, 256); it takes red, green, blue',)),
        ('data.crop_scale', (0.5,), ('data.crop_scale is (0.5,); it takes two numbers',)),
        ('data.count', 500, ('data.count is 500, but data.source is emoji; only pets reads it', '3000')),
        ('data.threads', 0, ('data.threads',)),
        ('evaluation.protocols', ('paired',), ("'paired' in evaluation.protocols", "'paired_test'", 'egsde')),
        ('evaluation.counts', (20, -5), ('evaluation.counts is (20, -5)', 'from 1')),
        ('data.background', ('a', 'b', 'c'), ("data.background is 'a'", 'a number')),
        ('data.crop_scale', (0.5, None), ('data.crop_scale is None',)),
        ('data.path', 'pictures', ("data.path is 'pictures', but data.source is emoji",)),
        ('data.resize_ratio', float('inf'), ('data.resize_ratio is inf', 'finite')),
        ('optimizer.learning_rate', float('nan'), ('learning_rate is nan', 'finite')),
        ('seed', 2**32, ('seed is 4294967296',)),
        ('optimizer.networks', {'discriminator_a': {'decay_start_images': 9}}, ('schedule is constant',)),
        (
            'optimizer.networks',
            {'discriminator_a': {'schedule': 'linear', 'decay_start_images': 300_000}},
            ('optimizer.networks.discriminator_a.decay_start_images is 300000', 'before train_images'),
        ),
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


def test_pairs_of_keys_are_for_what_is_drawn_from_keys():
    config = common.get_config()
    config.data.source, config.data.path, config.data.share_keys = 'folder', 'pictures', True
    with pytest.raises(UserError, match='share_keys is for emoji, glyphs and pets'):
        common.validate(config)


def test_accumulation_divides_the_batch():
    config = common.get_config()
    config.batch_size, config.accumulation = 24, 3
    common.validate(config, num_devices=4)
    config.accumulation = 4
    with pytest.raises(UserError, match='multiple of 16, such as 16'):
        common.validate(config, num_devices=4)


def test_a_patch_is_told_apart_from_others_of_its_microbatch():
    config = common.get_config()
    config.method = common.method('cut', patches=1, negatives_of_batch=True)
    config.batch_size, config.accumulation = 8, 4
    common.validate(config)
    config.accumulation = 8
    with pytest.raises(UserError, match=r'patches is 1 and a batch .* 1; contrast needs 2 or more'):
        common.validate(config)


@pytest.mark.parametrize('name', ['cut', 'cyclegan'])
def test_residual_blocks_have_a_border_to_mirror(name):
    config = common.get_config()
    config.method = common.method(name, discriminator_depth=0)
    config.image_size = 8
    common.validate(config)
    config.image_size = 4
    with pytest.raises(UserError, match=r'image_size is 4; .* takes multiples of 4 from 8 on'):
        common.validate(config)


def test_a_method_refuses_fields_that_it_has_not():
    with pytest.raises(UserError, match="did you mean 'cycle_weight'"):
        common.method('cyclegan', cycle_wieght=1.0)


def test_arguments_have_the_types_of_their_defaults():
    defaults = {'size': 64, 'rate': 0.5, 'name': 'a', 'tiny': False}
    parsed = common.parse('size=128, tiny,rate=1,name=b', **defaults)
    assert vars(parsed) == {'size': 128, 'rate': 1.0, 'name': 'b', 'tiny': True}
    assert vars(common.parse('', **defaults)) == defaults
    assert common.parse('tiny=false', **defaults).tiny is False
    assert common.parse('tiny=True', **defaults).tiny is True
    for text, part in (('size=x', 'int'), ('size', 'value'), ('tiny=2', 'true'), ('tniy', "'tiny'")):
        with pytest.raises(UserError, match=part):
            common.parse(text, **defaults)


def test_names_on_a_command_line_are_split():
    config = common.get_config()
    config.data.domains = ('twemoji,openmoji',)
    assert common.resolve(config).data.domains == ('twemoji', 'openmoji')
    config.method = common.method('cut', nce_layers=('down_1, block_0',))
    config.method.scales = (1, 2)
    method = common.resolve(config).method
    assert (method.nce_layers, method.scales) == (('down_1', 'block_0'), (1, 2))
    config.evaluation.counts = ('20,30',)
    assert common.resolve(config).evaluation.counts == (20, 30)
    config.evaluation.counts = ('20,a',)
    with pytest.raises(UserError, match=r"evaluation\.counts is '20,a'; it takes whole numbers"):
        common.resolve(config)
