import pytest

from gan_transfer import data
from gan_transfer.data import sources
from gan_transfer.run_config import cache_folder


def test_cache_folder(config, monkeypatch, tmp_path):
    monkeypatch.setenv('GAN_TRANSFER_CACHE', str(tmp_path / 'by variable'))
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    assert cache_folder(config) == str(tmp_path / 'cache')
    config.data.cache = ''
    assert cache_folder(config) == str(tmp_path / 'by variable')
    monkeypatch.delenv('GAN_TRANSFER_CACHE')
    assert cache_folder(config) == str(tmp_path / 'home' / '.cache' / 'gan_transfer')


def test_unknown_source_names_the_choices(config):
    config.data.source = 'imagenet'
    with pytest.raises(
        ValueError, match="'imagenet'; there are emoji, glyphs, pets, folder, tfds:<builder>/<config>"
    ):
        data.open_dataset(config)


def test_emoji_end_to_end(config, monkeypatch, capsys, caplog):
    art = sources.emoji.artwork()
    few = sources.emoji.keys()[:30]
    monkeypatch.setitem(sources.ARTWORK, 'emoji', lambda: type(art)(**{**vars(art), 'keys': lambda: few}))
    config.image_size, config.data.domains = 16, ('openmoji', 'openmoji_line')
    data.prepare(config)
    printed = capsys.readouterr().out
    dataset = data.open_dataset(config)
    assert dataset.domains == ('openmoji', 'openmoji_line')
    for domain in dataset.domains:
        counts = f'{len(dataset.train[domain])} training images, {len(dataset.test[domain])} test images'
        assert f'{domain}: {counts}' in printed
    assert config.data.cache in printed
    assert 'emoji_16px' in printed
    assert 'licence: Twemoji: CC-BY 4.0' in printed
    iterator = data.make_pipeline(dataset, config, ('source', 'target'), 'two_domains')
    assert next(iterator)['target'].shape == (8, 16, 16, 3)
    iterator.close()
    config.data.share_keys = True
    shared = data.open_dataset(config)
    assert shared.train['openmoji'].keys == shared.train['openmoji_line'].keys
    assert len(shared.train['openmoji']) > len(dataset.train['openmoji'])
    assert not caplog.messages
    config.data.background = (0, 0, 0)
    data.open_dataset(config)
    assert caplog.messages == [
        'data.background is (0, 0, 0), for transparent pixels of image files; drawings of emoji have none'
    ]
