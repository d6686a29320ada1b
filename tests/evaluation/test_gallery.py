"""The gallery is one page that needs nothing beside it."""

import json
import re

import numpy as np

from gan_transfer.evaluation.gallery import Gallery
from gan_transfer.evaluation.outputs import Translated


def test_the_page_holds_images_and_scores(tmp_path):
    gallery = Gallery(('<a>', 'b'), limit=3)
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    batch = Translated(2, [0, 1, 1, 1], images, [images], None, None, [images])
    for score in (0.5, 0.25):
        gallery.watch('paired_test', 0, 1, batch, {'ssim': np.full(2, score)})
    gallery.write(tmp_path / 'gallery.html', 'a </script> title')
    page = (tmp_path / 'gallery.html').read_text()
    assert 'http' not in page, 'nothing is fetched'
    assert page.count('</script>') == 1
    data = json.loads(re.search(r'const data = (.*);\n', page).group(1).replace('<\\/', '</'))
    assert [entry['scores']['ssim'] for entry in data['entries']] == [0.5, 0.5, 0.25], 'at most three'
    assert data['entries'][0]['group'] == 'paired_test: <a> → b'
    assert set(data['entries'][0]['images']) == {'source', 'output', 'truth'}
    assert data['titles'] == {'ssim': 'SSIM'}


def test_the_limit_is_of_each_direction():
    gallery = Gallery(('a', 'b', 'c'), limit=1)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    batch = Translated(2, [0, 1], images, [images], None, None, None)
    for target in (1, 2):
        gallery.watch('default', 0, target, batch, {'ssim': np.zeros(2)})
    assert [entry['group'] for entry in gallery._entries] == ['default: a → b', 'default: a → c']
