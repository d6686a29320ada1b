"""The methods: one file per paper, and the one table that names them."""

from gan_transfer.methods.contract import Method
from gan_transfer.methods.cut import Cut
from gan_transfer.methods.cyclegan import CycleGan
from gan_transfer.methods.pix2pix import Pix2Pix
from gan_transfer.methods.stargan_v2 import StarGanV2

METHODS: dict[str, type[Method]] = {
    'cut': Cut,
    'cyclegan': CycleGan,
    'pix2pix': Pix2Pix,
    'stargan_v2': StarGanV2,
}
