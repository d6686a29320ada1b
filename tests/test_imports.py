"""Imports point one way: launch -> train, evaluate, translate -> data, methods, step, metrics; methods -> networks."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = 'gan_transfer'
MODES = ('train', 'evaluate', 'compare', 'translate', 'import_checkpoint', 'compile')
# Room -> the rooms of the package that it may import beside itself. The others may import all but the modes.
MAY_IMPORT = {
    'augment': {'random'},
    'collectives': {'sharding'},
    'configs': {'errors', 'evaluation', 'methods', 'optimizer', 'run_config', 'sharding'},
    'data': {'errors', 'run_config', 'sharding', 'storage'},
    'errors': {'storage'},
    'image_pool': {'random'},
    'importers': {'methods', 'networks', 'storage'},
    'losses': set(),
    'methods': {'augment', 'image_pool', 'losses', 'networks', 'random'},
    'metrics': set(),
    'networks': set(),
    'optimizer': set(),
    'random': set(),
    'processes': {'errors'},
    'sharding': set(),
    'state': set(),
    'storage': set(),
    'step': {'collectives', 'methods', 'optimizer', 'random', 'sharding', 'state'},
    'xla_flags': set(),
}


def _imports(path):
    """The rooms of the package that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            names = [node.module, *(f'{node.module}.{alias.name}' for alias in node.names)]
        for name in names:
            parts = name.split('.')
            if parts[0] == PACKAGE and len(parts) > 1:
                yield parts[1]


def _files():
    yield from sorted((ROOT / PACKAGE).rglob('*.py'))
    yield from sorted((ROOT / 'configs').rglob('*.py'))


def _room(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return parts[1] if parts[0] == PACKAGE else parts[0]


@pytest.mark.parametrize('path', list(_files()), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    room = _room(path)
    there = {file.stem for file in (ROOT / PACKAGE).glob('*.py')} | {
        folder.name for folder in (ROOT / PACKAGE).iterdir() if folder.is_dir()
    }
    imported = {name for name in _imports(path) if name in there} - {room}
    assert not imported & set(MODES), 'only launch.py imports what a mode does'
    if room in MAY_IMPORT:
        assert imported <= MAY_IMPORT[room]


def test_no_file_is_too_long():
    for path in _files():
        assert len(path.read_text().splitlines()) <= 300, path
