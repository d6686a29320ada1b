import math

import pytest

from gan_transfer.compile.chips import CHIPS, GIB, find_chip, find_slice
from gan_transfer.compile.costs import Collective
from gan_transfer.compile.roofline import estimate
from gan_transfer.errors import UserError


@pytest.mark.parametrize(
    ('name', 'devices', 'wrap', 'bandwidth'),
    [
        ('v5e:1x1', 1, (False, False), math.inf),
        ('v5e:4x4', 16, (False, False), 100e9),
        ('v5e:8x16', 128, (False, True), 150e9),
        ('v5e:16x16', 256, (True, True), 200e9),
        ('v5p:2x2x1', 4, (False, False, False), 200e9),
        ('v4:4x4x8', 128, (True, True, True), 300e9),
        ('h100:8', 8, (False,), 450e9),
    ],
)
def test_slices(name, devices, wrap, bandwidth):
    part = find_slice(name)
    assert (part.devices, part.wrap) == (devices, wrap)
    assert part.exchange_bandwidth == pytest.approx(bandwidth)


def test_the_network_between_hosts_slows_gpus():
    assert find_slice('h100:8').bandwidth(2) == 450e9
    assert find_slice('h100:16').bandwidth(2) == 50e9
    assert find_slice('h100:16').exchange_bandwidth < find_slice('h100:8').exchange_bandwidth


@pytest.mark.parametrize(
    ('name', 'parts'),
    [
        ('v5e:32x32', ('v5e:32x32', 'v5e:16x16')),
        ('v5e', ('v5e:2x2',)),
        ('v9:2x2', ('v9:2x2', 'v5e', 'h100')),
        ('h100:3', ('h100:8',)),
    ],
)
def test_what_there_is_not_is_an_error_with_the_choices(name, parts):
    with pytest.raises(UserError) as info:
        find_slice(name)
    for part in parts:
        assert part in str(info.value)


@pytest.mark.parametrize('kind', CHIPS)
def test_every_slice_of_the_table_can_be_found(kind):
    for shape in CHIPS[kind].slices:
        assert find_slice(f'{kind}:{shape}').devices >= 1


def test_a_device_that_is_there_is_known_by_its_kind():
    assert find_chip('TPU v5 lite') is CHIPS['v5e']
    assert find_chip('TPU v5') is CHIPS['v5p']
    assert find_chip('NVIDIA H100 80GB HBM3') is CHIPS['h100']
    assert find_chip('NVIDIA H100 PCIe') is None, 'another one, and slower'
    assert find_chip('TPU v5e') is find_chip('TPU v5 lite') is CHIPS['v5e']
    assert find_chip('TPU v5p') is find_chip('TPU v5') is CHIPS['v5p']
    assert find_chip('TPU v6e') is CHIPS['v6e']
    assert find_chip('cpu') is None


def test_roofline_of_a_step_that_waits_for_memory():
    chip = CHIPS['v5e']
    exchanged = [
        Collective('all-reduce', ('f32',), 100_000_000, 256),
        Collective('all-gather', ('f32',), 1_000_000, 2),
        Collective('collective-permute', ('bf16',), 500_000, 2),
    ]
    line = estimate(chip, 19.7e12, 81.9e9 * 2, exchanged, find_slice('v5e:16x16'))
    assert (line.compute, line.memory) == (pytest.approx(0.1), pytest.approx(0.2))
    assert line.exchange == pytest.approx(2 * 1e8 * 255 / 256 / 200e9 + 1e6 / 2 / 50e9 + 5e5 / 50e9)
    assert line.efficiency == pytest.approx(0.2 / (0.2 + line.exchange))
    assert estimate(chip, 1, 1, [], None).efficiency == 1
    assert chip.memory == 15.75 * GIB
    slow = estimate(CHIPS['h100'], 1e12, 0, [], None, 'float32')
    assert slow.compute == 2 * estimate(CHIPS['h100'], 1e12, 0, [], None).compute
