"""Every method has what a method needs beside its code: a config, reference cases, a row in the README."""

import pathlib

import pytest

from gan_transfer.methods import METHODS
from tests.reference import cases

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize('name', METHODS)
def test_method_is_complete(name):
    assert (ROOT / 'configs' / f'{name}.py').exists()
    assert name in cases.OWN or list(cases.FOLDER.glob(f'{name}_*.npz')), (
        'a reference case, or its name in OWN'
    )
    assert f'`{name}.py' in (ROOT / 'README.md').read_text()
