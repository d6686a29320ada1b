"""What each protocol measures: which images, loaded and resized how, by which features; and its values by hand."""

import dataclasses

import numpy as np
import pytest

from gan_transfer.data.transforms import resize
from gan_transfer.evaluation import Evaluator, measures, protocols
from gan_transfer.evaluation import evaluator as evaluator_module
from gan_transfer.evaluation.features import SetFeatures
from gan_transfer.evaluation.outputs import Translated
from tests.evaluation.made_data import DOMAINS, SIZE, keep, make_config, make_dataset, make_method

SMALL = 24  # px, smaller than the images: resizing shows
# Protocol -> features and resizing, reals and their size, interpolation of what is translated and of reals, where
# target images are from, outputs.
FACTS = {
    'default': ('vgg16', 'legacy', 'test', SMALL, 'cubic', 'cubic', 'train', 1),
    'cut_test_test': ('inception', 'legacy', 'test', SMALL, 'cubic', 'cubic', 'train', 1),
    'clean_test_test': ('inception', 'clean', 'test', SMALL, 'cubic', 'cubic', 'train', 1),
    'egsde': ('inception', 'legacy', 'test', SIZE, 'cubic', 'cubic', 'train', 1),
    'egsde_celeba_hq': ('inception', 'egsde_celeba_hq', 'train', SMALL, 'cubic', 'linear', 'train', 1),
    'stargan_v2_latent': ('torchvision', 'legacy', 'train', SMALL, 'linear', 'linear', 'latent', 10),
    'stargan_v2_reference': ('torchvision', 'legacy', 'train', SMALL, 'linear', 'linear', 'test', 10),
}


def pixels(images):
    return {image.tobytes() for image in images}


def test_all_protocols_that_compare_sets_are_here():
    assert set(FACTS) == {name for name, protocol in protocols.PROTOCOLS.items() if protocol.features}


@pytest.mark.parametrize('name', FACTS)
def test_a_protocol_measures_what_it_says(name, monkeypatch):
    features, resizing, reals, real_size, given, real, styles, outputs = FACTS[name]
    # Its prescribed numbers and what needs large networks are left out.
    protocol = dataclasses.replace(protocols.PROTOCOLS[name], counts=None, measures=())
    monkeypatch.setitem(protocols.PROTOCOLS, name, protocol)
    asked, measured, targets = [], [], []

    def make_features(settings, *key):
        asked.append(key)

        def function(images):
            measured.extend(images)
            return np.asarray([image.reshape(-1)[: SMALL * SMALL] for image in images], np.float32)

        return SetFeatures(function, {})

    def translate(batch):
        targets.append(batch.get('target'))
        return batch['source']

    monkeypatch.setattr(evaluator_module, 'make_features', make_features)
    config = make_config(protocols=(name,))
    config.image_size = SMALL
    dataset = make_dataset(test=13, train=16)
    method = make_method(('source', 'target', 'target_domain'), latent_size=3)
    (row,) = Evaluator(config, dataset, method, [(0, 1)])(translate)[name]['directions']

    def loaded(split, domain, size, by):
        images = getattr(dataset, split)[domain]
        return pixels(resize(images[i].image, (size, size), by) for i in range(len(images)))

    source, target = DOMAINS
    assert asked == [(features, resizing)]
    other = {'train': 'test', 'test': 'train'}[reals]
    translated, reals_loaded = loaded('test', source, SMALL, given), loaded(reals, target, real_size, real)
    floor = pixels(measured) - translated - reals_loaded
    assert translated | reals_loaded <= pixels(measured)
    assert floor <= loaded(other, target, real_size, real)
    assert len(floor) == row['images']['floor'] == 13
    assert row['images']['real'] == {'train': 16, 'test': 13}[reals]
    assert row['images']['generated'] == 13 * outputs
    if styles == 'latent':
        assert targets == [None] * len(targets)
    else:
        assert pixels(np.concatenate(targets)) <= loaded(styles, target, SMALL, given)
    for end in (f'fid_{protocols.features_name(protocol)}', 'kid_' + protocols.features_name(protocol)):
        assert end in row['untouched_source']
        assert end in row['one_output' if outputs > 1 else 'translated']
    if outputs > 1:
        assert set(row['translated']) == {protocol.headline}, 'outputs of one source are not independent'


def test_retrieval_counts_counterparts_among_the_nearest(monkeypatch):
    ranks = np.array([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    monkeypatch.setattr(evaluator_module.semantics, 'retrieval_ranks', lambda *_: ranks)
    flat = SetFeatures(lambda images: images.reshape(len(images), -1)[:, :64].astype(np.float32), {})
    monkeypatch.setattr(evaluator_module, 'make_features', lambda *_: flat)
    monkeypatch.setitem(
        protocols.PROTOCOLS, 'default', dataclasses.replace(protocols.PROTOCOLS['default'], measures=())
    )
    evaluator = Evaluator(make_config(protocols=('default',)), make_dataset(), make_method(), [(0, 1)])
    (row,) = evaluator(keep)['default']['directions']
    assert row['translated']['retrieval_top1'] == pytest.approx(3 / 13)
    assert row['translated']['retrieval_top5'] == pytest.approx(7 / 13)


def make_batch(sources, outputs, targets=None):
    return Translated(len(sources), list(range(len(sources))), sources, outputs, targets, None, None)


def test_distance_to_the_source_and_diversity_by_hand():
    rng = np.random.default_rng(0)
    sources, *outputs = rng.integers(0, 256, (4, 2, SIZE, SIZE, 3), np.uint8)
    networks = measures.Networks()
    compute = measures.make(networks)
    found = compute(('source_l2', 'diversity'), make_batch(sources, outputs), outputs)
    root = [np.sqrt(np.square(x / 255.0 - sources / 255.0).sum((1, 2, 3))) for x in outputs]
    np.testing.assert_allclose(found['source_l2'], np.mean(root, 0), rtol=1e-5)
    a, b, c = outputs
    pairs = [np.asarray(networks.lpips_alexnet(*pair)) for pair in ((a, b), (a, c), (b, c))]
    np.testing.assert_allclose(found['diversity'], np.mean(pairs, 0), rtol=1e-5)


def test_leakage_tells_the_source_s_layout_from_the_target_s():
    sources, targets = np.random.default_rng(0).integers(0, 256, (2, 2, SIZE, SIZE, 3), np.uint8)
    compute = measures.make(measures.Networks())
    for images, leaked in ((sources, 0), (targets, 1)):
        found = compute(('leakage',), make_batch(sources, [images], [targets]), [images])
        np.testing.assert_allclose(found['leakage'], leaked, atol=1e-5)


def test_one_output_is_what_stands_beside_the_source():
    row = {'translated': {'fid_torchvision': 1.0, 'ssim': 0.5}, 'one_output': {'fid_torchvision': 2.0}}
    assert measures.comparable(row, 'fid_torchvision') == 2
    assert measures.comparable(row, 'ssim') == 0.5
