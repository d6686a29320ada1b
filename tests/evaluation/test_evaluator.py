"""Protocols run on data whose truth is known: perfect translations, untouched sources, wrong numbers of images."""

import numpy as np
import pytest

from gan_transfer.evaluation import Evaluator, tables
from gan_transfer.evaluation import evaluator as evaluator_module
from gan_transfer.evaluation.features import make_features
from gan_transfer.evaluation.outputs import translate_all
from gan_transfer.evaluation.protocols import PROTOCOLS, Protocol, choose
from tests.evaluation import made_data
from tests.evaluation.made_data import keep, make_config, make_dataset, make_method, outline

pytestmark = pytest.mark.xdist_group('evaluator')
REFERENCE = make_method(('source', 'target', 'target_domain'), latent_size=3)


@pytest.fixture(scope='module')
def evaluator():
    return Evaluator(make_config(), make_dataset(), make_method(), [(0, 1)])


@pytest.fixture(scope='module')
def outlined(evaluator):
    return evaluator(outline)


@pytest.fixture(scope='module')
def kept(evaluator):
    return evaluator(keep)


def test_a_perfect_translation_reaches_the_floor_and_an_untouched_source_is_the_ceiling(
    evaluator, outlined, kept
):
    perfect, untouched = outlined, kept
    assert list(perfect) == ['default', 'paired_test'], 'what the data allows'
    (row,), (same,) = perfect['default']['directions'], untouched['default']['directions']
    assert row['count'] == 13
    assert row['images']['generated'] == row['images']['real'] == 13
    assert row['images']['floor'] == 9
    assert 0 < row['standard_errors']['translated']['kid_vgg16'] < 1
    again = evaluator(outline)['default']['directions'][0]['images']
    assert again == row['images'], 'pixels have one digest'
    assert row['translated']['kid_vgg16'] <= row['floor']['kid_vgg16'] < row['untouched_source']['kid_vgg16']
    assert row['translated']['fid_vgg16'] == pytest.approx(0, abs=1e-6)
    assert row['translated']['retrieval_top1'] == row['translated']['coverage'] == 1
    for name, value in same['untouched_source'].items():
        assert same['translated'][name] == pytest.approx(value, rel=1e-5), name
        assert row['untouched_source'][name] == value, 'the yardstick knows nothing of the translation'
    assert same['translated']['structure'] == pytest.approx(0, abs=1e-6)
    assert same['translated']['class_kept'] == 1
    (row,) = perfect['paired_test']['directions']
    assert row['translated']['absolute_error'] == pytest.approx(0, abs=1e-6)
    assert row['translated']['lpips_alexnet'] == pytest.approx(0, abs=1e-6)
    assert row['translated']['ssim'] == pytest.approx(1)
    assert row['untouched_source']['absolute_error'] > 0.01
    assert perfect['paired_test']['directions_closer_than_the_source']['absolute_error'] == 1
    assert untouched['paired_test']['directions_closer_than_the_source']['absolute_error'] == 0


def test_means_are_over_directions(monkeypatch):
    config = make_config(protocols=('paired_test',))
    evaluator = Evaluator(config, make_dataset(), make_method(), [(0, 1), (1, 0)])
    rows = iter({'translated': {'ssim': value}, 'untouched_source': {'ssim': 0.5}} for value in (0.2, 0.6))
    monkeypatch.setattr(evaluator, '_direction', lambda *_: next(rows))
    found = evaluator(keep)['paired_test']
    assert found['mean'] == {'ssim': pytest.approx(0.4)}
    assert found['directions_closer_than_the_source'] == {'of': 2, 'ssim': 1}


@pytest.mark.parametrize('length', [3, 16])  # each compiles all networks anew
def test_batches_change_nothing(outlined, length):
    """Neither on one device nor where several share a batch; rows that fill the last one count for nothing."""
    config = make_config()
    config.evaluate_batch_size = length
    found = Evaluator(config, make_dataset(), make_method(), [(0, 1)])(outline)
    for name in outlined:
        for key, value in outlined[name]['mean'].items():
            assert found[name]['mean'][key] == pytest.approx(value, rel=1e-4, abs=1e-5), (name, key)


def batches(config, dataset, method, protocol):
    seen = []

    def translate(batch):
        seen.append(batch)
        return batch['source']

    return list(translate_all(config, dataset, method, protocol, 0, 1, translate)), seen


def test_target_images_are_training_images_and_the_same_every_time():
    dataset, protocol = make_dataset(), PROTOCOLS['paired_test']
    (found, seen), (_, again) = (batches(make_config(), dataset, REFERENCE, protocol) for _ in range(2))
    assert [batch.count for batch in found] == [4, 4, 4, 1]
    assert [i for batch in found for i in batch.indices[: batch.count]] == list(range(13))
    training = {dataset.train['outlined'][i].image.tobytes() for i in range(9)}
    for batch, same in zip(seen, again, strict=True):
        assert set(batch) == {'source', 'target', 'target_domain'}
        assert {image.tobytes() for image in batch['target']} <= training
        np.testing.assert_array_equal(batch['target'], same['target'])
    for batch in found:
        for i, truth in zip(batch.indices, batch.truths[0], strict=True):
            np.testing.assert_array_equal(truth, made_data.draw(str(i), True))


def test_several_outputs_of_a_source_differ_in_target_image_or_latent_code():
    config, dataset = make_config(), make_dataset()
    for name, field in (('stargan_v2_reference', 'target'), ('stargan_v2_latent', 'latent')):
        found, seen = batches(config, dataset, REFERENCE, PROTOCOLS[name])
        assert all(len(batch.outputs) == 10 for batch in found)
        for row in range(4):
            assert len({batch[field][row].tobytes() for batch in seen[:10]}) >= (
                9 if field == 'target' else 10
            )
    assert 'target' not in seen[0]
    assert seen[0]['latent'].shape == (4, 3)


def test_the_truth_in_the_style_of_the_very_target_image():
    def truth(source, target, domain):
        assert domain == 'outlined'
        return np.full((made_data.SIZE,) * 2 + (3,), int(source) + int(target) % 200, np.uint8)

    found, seen = batches(make_config(), make_dataset(truth=truth), REFERENCE, PROTOCOLS['reference_truth'])
    dataset = make_dataset()
    keys = {
        dataset.train['outlined'][i].image.tobytes(): int(dataset.train['outlined'].keys[i]) for i in range(9)
    }
    for batch, given in zip(found, seen, strict=True):
        for i, image, true in zip(batch.indices, given['target'], batch.truths[0], strict=True):
            assert true[0, 0, 0] == i + keys[image.tobytes()] % 200


@pytest.mark.parametrize('length', [3, 13])
def test_outputs_that_follow_their_target_image_are_told_from_others(length):
    """Where the truths of two target images are the same nothing can be told: half a point."""

    def truth(source, target, domain):
        del source, domain
        return np.full((made_data.SIZE,) * 2 + (3,), 60 * (int(target) % 4), np.uint8)

    def draw(batch):
        return np.stack([truth('', keys[image.tobytes()], '') for image in batch['target']])

    dataset = make_dataset(truth=truth)
    images = dataset.train['outlined']
    keys = {images[i].image.tobytes(): images.keys[i] for i in range(len(images))}
    config = make_config(protocols=('reference_truth',))
    config.evaluate_batch_size = length
    evaluator = Evaluator(config, dataset, REFERENCE, [(0, 1)])
    given = []
    (row,) = evaluator(lambda batch: given.append(batch) or draw(batch))['reference_truth']['directions']
    values = np.concatenate([draw(batch)[:, 0, 0, 0] for batch in given])[:13].astype(int)
    ties = values == np.roll(values, -1)
    assert 0 < ties.sum() < 13
    assert row['translated']['target_followed'] == pytest.approx(1 - ties.mean() / 2)
    (row,) = evaluator(lambda batch: 180 - draw(batch))['reference_truth']['directions']
    opposite, others = np.abs(180 - 2 * values), np.abs(180 - values - np.roll(values, -1))
    assert row['translated']['target_followed'] == pytest.approx(np.mean(1 + np.sign(others - opposite)) / 2)


@pytest.mark.parametrize(
    ('evaluation', 'method', 'message'),
    [
        ({'counts': (13, 12)}, make_method(), '12 test images of outlined; there are 13'),
        ({'counts': (13,)}, make_method(), 'the data has 2 domains'),
        ({'protocols': ('egsde',)}, make_method(), r'\(500, 500\) test images.*\(13, 13\)'),
        ({'protocols': ('egsde_celeba_hq',)}, make_method(), r'\(1000, 1000\) test images.*\(13, 13\)'),
        ({'protocols': ('stargan_v2_reference',)}, make_method(), 'several outputs'),
        (
            {'protocols': ('stargan_v2_latent',)},
            make_method(('source', 'target', 'target_domain')),
            'trained without them',
        ),
        ({'protocols': ('reference_truth',)}, make_method(), 'needs pets'),
        (
            {'protocols': ('default',)},
            make_method(),
            'default compares sets of 6 images and more; outlined has 5 train',
        ),
        ({'protocols': ('cut_test_test',)}, make_method(), 'evaluation.inception=PATH'),
        ({'protocols': ('cut_test_test',), 'inception': '/no/file.pth'}, make_method(), 'no/file.pth'),
    ],
)
def test_what_cannot_be_measured_is_refused(evaluation, method, message):
    dataset = make_dataset(train=5 if evaluation.get('protocols') == ('default',) else 9)
    with pytest.raises(ValueError, match=message):
        Evaluator(make_config(**evaluation), dataset, method, [(0, 1)])


def test_images_too_small_for_a_measure_are_refused_before_any_training():
    config = make_config(protocols=('paired_test',))
    config.image_size = 8
    with pytest.raises(ValueError, match='images have 8 px; paired_test measures SSIM, which takes 11 px'):
        Evaluator(config, make_dataset(), make_method(), [(0, 1)])


@pytest.mark.parametrize(
    ('network', 'protocol', 'told'),
    [
        ('vgg16', 'default', 'style'),
        ('efficientnet_lite0', 'default', 'class'),
        ('alexnet', 'default', ''),
        ('alexnet', 'paired_test', 'LPIPS'),
        ('vgg16', 'paired_test', ''),
        ('', 'default', ''),
    ],
)
def test_measures_by_a_network_that_the_generator_was_trained_on_are_told(
    network, protocol, told, kept, monkeypatch, capsys
):
    method = make_method()
    method.feature_network = network
    evaluator = Evaluator(make_config(protocols=(protocol,)), make_dataset(), method, [(0, 1)])
    monkeypatch.setattr(evaluator, '_direction', lambda *_: kept[protocol]['directions'][0])
    results = evaluator(keep)
    assert told in results[protocol].get('trained_on', '')
    tables.print_results(results, 'final')
    printed = ' '.join(capsys.readouterr().out.split())
    assert ('trained on features of' in printed) == bool(told)


def test_an_unreadable_training_image_is_left_out():
    """Training takes its neighbour in its place; a floor or a style would count that one twice."""
    dataset = make_dataset()
    dataset.train['outlined'].set_unreadable({dataset.train['outlined'].keys[3]: 'broken'})
    (row,) = Evaluator(make_config(), dataset, REFERENCE, [(0, 1)])(outline)['default']['directions']
    assert row['images']['floor'] == 8


def test_values_are_the_same_without_the_intervals_of_sets(kept):
    config = make_config(protocols=('default',))
    found = Evaluator(config, make_dataset(), make_method(), [(0, 1)], set_intervals=False)(keep)
    assert found['default']['mean'] == kept['default']['mean']
    (row,), (whole,) = found['default']['directions'], kept['default']['directions']
    assert 'kid_vgg16' in whole['intervals']['translated']
    assert 'kid_vgg16' not in row['intervals']['translated']
    assert row['floor'] == whole['floor']


def test_ten_outputs_of_a_source_stand_beside_one(monkeypatch):
    """StarGAN v2's protocol with other features: what is compared with untouched sources is of as many images."""
    monkeypatch.setattr(evaluator_module, 'make_features', lambda *_: make_features({}, 'vgg16', 'legacy'))
    config = make_config(protocols=('stargan_v2_reference',), lpips_batch_mean=True)
    monkeypatch.setattr(evaluator_module, 'BATCH_OF_MEANS', 4)

    def translate(batch):  # the outline, and a pixel of the target image
        images = outline(batch).copy()
        images[:, :8, :8] = batch['target'][:, 16:24, 16:24]
        return images

    result = Evaluator(config, make_dataset(train=16), REFERENCE, [(0, 1)])(translate)
    (row,) = result['stargan_v2_reference']['directions']
    assert row['images']['generated'] == 130
    assert row['images']['floor'] == 13
    assert row['one_output']['fid_torchvision'] > row['translated']['fid_torchvision'], (
        'fewer images, more bias'
    )
    assert row['translated']['diversity'] > 0
    assert row['translated']['diversity_batch_mean'] != row['translated']['diversity'], (
        'the last batch is of one'
    )
    assert result['stargan_v2_reference']['mean']['diversity_batch_mean'] > 0


def test_an_unreadable_image_is_no_image_of_a_protocol():
    dataset = make_dataset()
    dataset.test['plain'].set_unreadable({'5': 'broken'})
    with pytest.raises(ValueError, match='image 5 cannot be read'):
        batches(make_config(), dataset, make_method(), PROTOCOLS['paired_test'])


@pytest.mark.parametrize('name', PROTOCOLS)
def test_protocols_are_whole(name):
    protocol: Protocol = PROTOCOLS[name]
    assert protocol.headline in protocol.shown
    assert choose([name], sets=True, paired=True, reference=True) == {name: protocol}


def test_one_truth_is_asked_for():
    """That in the target image's style, where it is known; the counterpart's own style is another one."""
    assert list(choose([], sets=True, paired=True, reference=False)) == ['default', 'paired_test']
    assert list(choose([], sets=True, paired=True, reference=True)) == ['default', 'reference_truth']
