"""Settings that must stand before JAX is imported, for the tests and for every process that they start."""

import contextlib
import ctypes
import gc
import getpass
import os
import pathlib
import resource
import tempfile

import jaxtyping
import pytest

ROOT = pathlib.Path(__file__).parents[1]
# Outside the repository, kept between runs: compiled programs and prepared artwork.
CACHE = pathlib.Path(
    os.environ.get('GAN_TRANSFER_TEST_CACHE')
    or pathlib.Path(tempfile.gettempdir(), f'gan_transfer_tests_{getpass.getuser()}')
)

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = '--xla_backend_optimization_level=1 --xla_force_host_platform_device_count=4'
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(CACHE / 'xla'))
# Tests compile small programs by the hundred, which takes two thirds of the time of some.
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ.setdefault('GAN_TRANSFER_CACHE', str(CACHE))


# The rooms of array functions: their shapes and types are checked at every call while the tests run.
CHECKED = (
    'augment',
    'image_pool',
    'importers',
    'losses',
    'methods',
    'metrics',
    'networks',
    'optimizer',
    'random',
)
jaxtyping.install_import_hook([f'gan_transfer.{room}' for room in CHECKED], 'beartype.beartype')


@contextlib.contextmanager
def _memory_given_back(behind: int):
    """Where more than so many bytes were taken; else they stay with the process, for trainings keep what is freed."""
    before = _resident_bytes()
    yield
    if _resident_bytes() - before > behind:
        gc.collect()
        with contextlib.suppress(AttributeError):  # of other C libraries than glibc
            ctypes.CDLL(None).malloc_trim(0)


def _resident_bytes() -> int:
    status = pathlib.Path('/proc/self/statm')  # of Linux
    return int(status.read_text().split()[1]) * resource.getpagesize() if status.exists() else 0


@pytest.fixture(scope='module', autouse=True)
def _memory_of_a_module():
    """Two workers came to 20 GB."""
    with _memory_given_back(behind=200_000_000):
        yield


@pytest.fixture(autouse=True)
def _memory_of_a_test():
    """An import of StarGAN v2 alone takes 7 GB."""
    with _memory_given_back(behind=1_000_000_000):
        yield


def pytest_collection_modifyitems(items):
    """What takes long comes first, so that no worker is left with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker('slow') is None)


@pytest.fixture(scope='session')
def root() -> pathlib.Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope='module')
def smallest_method():
    """`tests/smallest.py` among the methods."""
    from gan_transfer.methods import METHODS
    from tests import smallest

    METHODS[smallest.NAME] = smallest.Smallest
    yield
    del METHODS[smallest.NAME]


@pytest.fixture(scope='session')
def runs():
    """Starts trainings of the smallest method."""
    from tests.forked_runs import ForkedRuns

    with ForkedRuns() as runs:
        yield runs


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
    """A folder of pairs of images."""
    from tests import command

    return command.side_by_side_data(tmp_path_factory.mktemp('pairs'))
