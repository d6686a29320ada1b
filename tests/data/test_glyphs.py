import numpy as np
import pytest

from gan_transfer.data import artwork, glyphs

SOME = ('4e00', '6c38', '9f8d', '5957')


def test_missing_package_names_what_to_install(tmp_path, monkeypatch):
    def version(name):
        if name == 'pylopdf-fonts-cjk':
            raise artwork.importlib.metadata.PackageNotFoundError(name)
        return '1'

    monkeypatch.setattr(artwork.importlib.metadata, 'version', version)
    with pytest.raises(ValueError, match='pip install pylopdf-fonts-cjk') as info:
        artwork.open_artwork(glyphs.artwork(), 16, tmp_path)
    assert '\n' not in str(info.value)


class TestWithTheFonts:
    @pytest.fixture(autouse=True)
    def _fonts(self):
        pytest.importorskip('pylopdf_fonts_cjk')

    def test_keys_are_the_han_characters_of_both_typefaces(self):
        keys = glyphs.keys()
        assert len(keys) == 12744
        assert keys[0] == '4e00'
        assert set(SOME) <= set(keys)
        assert all(0x4E00 <= int(key, 16) <= 0x9FFF for key in keys)

    @pytest.mark.parametrize('key', SOME)
    @pytest.mark.parametrize('domain', ['sans', 'serif'])
    def test_ink_is_inside_the_square(self, key, domain):
        image = glyphs.render(key, 64)[domain]
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert image.min() < 30
        frame = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert frame.min() > 200

    def test_every_character_is_drawn(self):
        # A character that a typeface lacks would be drawn as the same box each time.
        drawn = {glyphs.render(key, 24)['serif'].tobytes() for key in glyphs.keys()[::40]}
        assert len(drawn) == len(glyphs.keys()[::40])

    def test_serifs_make_thinner_horizontal_strokes(self):
        ink = {domain: (glyphs.render('4e00', 64)[domain][:, 32, 0] < 128).sum() for domain in glyphs.DOMAINS}
        assert 0 < ink['serif'] < ink['sans']

    def test_a_dataset(self, tmp_path):
        dataset = artwork.open_artwork(glyphs.artwork(), 16, tmp_path, limit=40)
        assert dataset.domains == ('sans', 'serif')
        assert not set(dataset.train['sans'].keys) & set(dataset.train['serif'].keys)
        assert dataset.test['sans'].keys == dataset.test['serif'].keys
        assert 'OFL' in dataset.licence
