"""The methods: one file per paper, and the one table that names them."""

from gan_transfer.methods.contract import Method
from gan_transfer.methods.cyclegan import CycleGan
from gan_transfer.methods.stargan_v2 import StarGanV2

METHODS: dict[str, type[Method]] = {
    'cyclegan': CycleGan,
    'stargan_v2': StarGanV2,
}
