import socket

import pytest

from configs import common
from gan_transfer.data import emoji
from gan_transfer.data.artwork import open_artwork


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('a test of the data tried to reach the network')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)


@pytest.fixture
def config(tmp_path):
    """Returns a config of small images with a cache of its own."""
    config = common.get_config()
    config.image_size = 8
    config.batch_size = 8
    config.data.cache = str(tmp_path / 'cache')
    config.data.augmentation = 'none'
    config.data.flip = False
    return config


@pytest.fixture(scope='session')
def emoji_cache(tmp_path_factory):
    """Returns a cache with the first 60 emoji at 32 px."""
    cache = tmp_path_factory.mktemp('emoji')
    open_artwork(emoji.artwork(), 32, cache, limit=60)
    return cache
