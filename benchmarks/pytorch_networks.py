"""The networks of the four methods as plain PyTorch modules: what the benchmark compares ours with.

Layer for layer what the papers describe, written for this benchmark, in PyTorch's own layers and nothing else.
"""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional


def normal_activated(convolution: nn.Module, channels: int) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


class Blur(nn.Module):
    """CUT's antialiased resampling: the filter [1, 2, 1] down, [1, 3, 3, 1] up, as grouped convolutions."""

    def __init__(self, channels: int, *, up: bool):
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0] if up else [1.0, 2.0, 1.0])
        kernel = taps[:, None] * taps[None]
        kernel = kernel / kernel.sum() * (4 if up else 1)
        self.register_buffer('kernel', kernel[None, None].repeat(channels, 1, 1, 1))
        self.up = up

    def forward(self, x):
        groups = self.kernel.shape[0]
        if self.up:
            padded = functional.pad(x, (1, 1, 1, 1), mode='replicate')
            doubled = functional.conv_transpose2d(padded, self.kernel, stride=2, padding=2, groups=groups)
            return doubled[:, :, 1:-1, 1:-1]
        return functional.conv2d(
            functional.pad(x, (1, 1, 1, 1), mode='reflect'), self.kernel, stride=2, groups=groups
        )


class ResidualBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *normal_activated(nn.Conv2d(channels, channels, 3), channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x):
        return x + self.layers(x)


class ResNetGenerator(nn.Module):
    """CycleGAN's and CUT's generator. `features` returns what CUT contrasts: five layers of the encoder."""

    FEATURES = (0, 4, 8, 12, 16)

    def __init__(self, width: int = 64, blocks: int = 9, *, antialias: bool = False):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), *normal_activated(nn.Conv2d(3, width, 7), width)]
        for i in (1, 2):
            stride = 1 if antialias else 2
            convolution = nn.Conv2d(width * i, width * 2 * i, 3, stride=stride, padding=1)
            layers += (
                normal_activated(convolution, width * 2 * i) + [Blur(width * 2 * i, up=False)] * antialias
            )
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for i in (4, 2):
            if antialias:
                layers.append(Blur(width * i, up=True))
                convolution = nn.Conv2d(width * i, width * i // 2, 3, padding=1)
            else:
                convolution = nn.ConvTranspose2d(
                    width * i, width * i // 2, 3, stride=2, padding=1, output_padding=1
                )
            layers += normal_activated(convolution, width * i // 2)
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())

    def forward(self, x):
        return self.layers(x)

    def features(self, x):
        found = []
        for i, layer in enumerate(self.layers[: self.FEATURES[-1] + 1]):
            x = layer(x)
            if i in self.FEATURES:
                found.append(x)
        return found


def patch_discriminator(channels: int = 3, width: int = 64, norm: type = nn.InstanceNorm2d) -> nn.Sequential:
    layers = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for i, stride in ((1, 2), (2, 2), (4, 1)):
        layers += [
            nn.Conv2d(width * i, width * i * 2, 4, stride, 1),
            norm(width * i * 2),
            nn.LeakyReLU(0.2, True),
        ]
    return nn.Sequential(*layers, nn.Conv2d(width * 8, 1, 4, 1, 1))


class PatchProjection(nn.Module):
    """CUT's two-layer perceptron for each layer of features, on 256 places of it."""

    def __init__(self, channels: tuple[int, ...], width: int = 256):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels
        )

    def forward(self, features, places=None):
        projected, used = [], []
        for i, (layer, feature) in enumerate(zip(self.layers, features, strict=True)):
            flat = feature.permute(0, 2, 3, 1).flatten(1, 2)
            where = torch.randperm(flat.shape[1], device=flat.device)[:256] if places is None else places[i]
            projected.append(functional.normalize(layer(flat[:, where].flatten(0, 1)), dim=1))
            used.append(where)
        return projected, used


class UNetLevel(nn.Module):
    """One halving of pix2pix's generator, what lies inside it, and the doubling back, with a skip around."""

    def __init__(
        self,
        outer: int,
        inner: int,
        inside: nn.Module | None,
        *,
        dropout: bool = False,
        outermost: bool = False,
    ):
        super().__init__()
        up_channels = inner if inside is None else 2 * inner
        down = nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1)
        up = nn.ConvTranspose2d(up_channels, outer, 4, 2, 1)
        if outermost:
            layers = [down, inside, nn.ReLU(), up, nn.Tanh()]
        else:
            middle = [] if inside is None else [nn.BatchNorm2d(inner), inside]
            layers = [nn.LeakyReLU(0.2), down, *middle, nn.ReLU(), up, nn.BatchNorm2d(outer)]
            layers += [nn.Dropout(0.5)] * dropout
        self.layers, self.outermost = nn.Sequential(*layers), outermost

    def forward(self, x):
        return self.layers(x) if self.outermost else torch.cat([x, self.layers(x)], 1)


def unet(depth: int = 7, width: int = 64) -> UNetLevel:
    level = UNetLevel(8 * width, 8 * width, None)
    for _ in range(depth - 5):
        level = UNetLevel(8 * width, 8 * width, level, dropout=True)
    for outer in (4, 2, 1):
        level = UNetLevel(outer * width, 2 * outer * width, level)
    return UNetLevel(3, width, level, outermost=True)


class StarGanBlock(nn.Module):
    """StarGAN v2's residual block, with AdaIN where there is a style."""

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        normalize: bool = False,
        resample: str = 'none',
        style_size: int = 0,
    ):
        super().__init__()
        # The encoder's first convolution keeps the width, the decoder's changes it.
        middle = features if style_size else channels
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(channels, middle, 3, padding=1), nn.Conv2d(middle, features, 3, padding=1)]
        )
        norms = [nn.InstanceNorm2d(c, affine=not style_size) for c in (channels, middle)]
        self.norms = nn.ModuleList(norms if normalize or style_size else [])
        widths = (channels, middle)
        self.linears = nn.ModuleList(nn.Linear(style_size, 2 * c) for c in widths if style_size)
        self.shortcut = nn.Conv2d(channels, features, 1, bias=False) if channels != features else None
        self.resample = resample

    def activated(self, x, i, style):
        if self.norms:
            x = self.norms[i](x)
        if style is not None:
            gamma, beta = self.linears[i](style)[:, :, None, None].chunk(2, 1)
            x = (1 + gamma) * x + beta
        return functional.leaky_relu(x, 0.2)

    def forward(self, x, style=None):
        y, shortcut = self.activated(x, 0, style), x
        if self.resample == 'up':
            y = functional.interpolate(y, scale_factor=2, mode='nearest')
            shortcut = functional.interpolate(shortcut, scale_factor=2, mode='nearest')
        y = self.convolutions[0](y)
        if self.resample == 'down':
            y = functional.avg_pool2d(y, 2)
        if self.shortcut is not None:
            shortcut = self.shortcut(shortcut)
        if self.resample == 'down':
            shortcut = functional.avg_pool2d(shortcut, 2)
        return (shortcut + self.convolutions[1](self.activated(y, 1, style))) / math.sqrt(2)


class StarGanGenerator(nn.Module):
    def __init__(self, size: int, style_size: int = 64, max_width: int = 512):
        super().__init__()
        width, downsamplings = 2**14 // size, int(math.log2(size)) - 4
        widths = [min(width * 2**i, max_width) for i in range(downsamplings + 1)]
        self.from_rgb = nn.Conv2d(3, width, 3, padding=1)
        encode = [StarGanBlock(a, b, normalize=True, resample='down') for a, b in itertools.pairwise(widths)]
        encode += [StarGanBlock(widths[-1], widths[-1], normalize=True) for _ in range(2)]
        decode = [StarGanBlock(widths[-1], widths[-1], style_size=style_size) for _ in range(2)]
        decode += [
            StarGanBlock(b, a, style_size=style_size, resample='up')
            for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True)
        ]
        self.encode, self.decode = nn.ModuleList(encode), nn.ModuleList(decode)
        self.to_rgb = nn.Sequential(
            nn.InstanceNorm2d(width, affine=True), nn.LeakyReLU(0.2), nn.Conv2d(width, 3, 1)
        )

    def forward(self, x, style):
        x = self.from_rgb(x)
        for block in self.encode:
            x = block(x)
        for block in self.decode:
            x = block(x, style)
        return self.to_rgb(x)


class MappingNetwork(nn.Module):
    def __init__(self, domains: int, latent_size: int = 16, width: int = 512, style_size: int = 64):
        super().__init__()
        sizes = [latent_size] + [width] * 4
        shared = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.shared = nn.Sequential(*shared)
        hidden = [layer for _ in range(3) for layer in (nn.Linear(width, width), nn.ReLU())]
        self.domains = nn.ModuleList(
            nn.Sequential(*hidden, nn.Linear(width, style_size)) for _ in range(domains)
        )

    def forward(self, latent, domain):
        shared = self.shared(latent)
        styles = torch.stack([head(shared) for head in self.domains], 1)
        return styles[torch.arange(len(domain), device=domain.device), domain]


class StarGanTrunk(nn.Module):
    """Style encoder (`outputs` numbers for each domain) and discriminator (one)."""

    def __init__(self, size: int, domains: int, outputs: int, max_width: int = 512):
        super().__init__()
        width, layers = 2**14 // size, []
        layers.append(nn.Conv2d(3, width, 3, padding=1))
        for _ in range(int(math.log2(size)) - 2):
            layers.append(StarGanBlock(width, min(2 * width, max_width), resample='down'))
            width = min(2 * width, max_width)
        layers += [nn.LeakyReLU(0.2), nn.Conv2d(width, width, 4), nn.LeakyReLU(0.2), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(width, outputs) for _ in range(domains))

    def forward(self, x, domain):
        shared = self.layers(x)
        return torch.stack([head(shared) for head in self.heads], 1)[
            torch.arange(len(domain), device=domain.device), domain
        ]
