"""One training step of each method in PyTorch, as the originals take it: same passes, eager, Adam.

Data, image pool, logging and averages are left out, to PyTorch's advantage: ours has them.
"""

import torch
from torch import nn
from torch.nn import functional

from benchmarks import pytorch_networks as networks


def _optimizer(*modules: nn.Module, rate: float = 2e-4, betas: tuple[float, float] = (0.5, 0.999)):
    return torch.optim.Adam([p for module in modules for p in module.parameters()], lr=rate, betas=betas)


def _require(*modules: nn.Module, value: bool) -> None:
    for module in modules:
        module.requires_grad_(value)


def _lsgan(logits, *, real: bool):
    return functional.mse_loss(logits, torch.full_like(logits, float(real)))


def _update(optimizer, loss) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def cyclegan(size: int, batch: int, to):
    """Returns a function that takes a step: generators first, then both discriminators."""
    ab, ba = to(networks.ResNetGenerator()), to(networks.ResNetGenerator())
    judge_a, judge_b = to(networks.patch_discriminator()), to(networks.patch_discriminator())
    generators, judges = _optimizer(ab, ba), _optimizer(judge_a, judge_b)
    a, b = (to(torch.rand(batch, 3, size, size) * 2 - 1) for _ in range(2))

    def step():
        fake_b, fake_a = ab(a), ba(b)
        cycle = functional.l1_loss(ba(fake_b), a) + functional.l1_loss(ab(fake_a), b)
        identity = functional.l1_loss(ab(b), b) + functional.l1_loss(ba(a), a)
        _require(judge_a, judge_b, value=False)
        adversarial = _lsgan(judge_b(fake_b), real=True) + _lsgan(judge_a(fake_a), real=True)
        _update(generators, adversarial + 10 * cycle + 5 * identity)
        _require(judge_a, judge_b, value=True)
        judged = [(judge_a, a, fake_a), (judge_b, b, fake_b)]
        _update(
            judges,
            sum((_lsgan(j(x), real=True) + _lsgan(j(y.detach()), real=False)) / 2 for j, x, y in judged),
        )

    return step


def cut(size: int, batch: int, to):
    """Returns a function that takes a step: discriminator first, then generator and projection."""
    generator = to(networks.ResNetGenerator(antialias=True))
    judge, projection = to(networks.patch_discriminator()), networks.PatchProjection((3, 128, 256, 256, 256))
    optimizers = [_optimizer(m) for m in (judge, generator, projection)]
    a, b = (to(torch.rand(batch, 3, size, size) * 2 - 1) for _ in range(2))

    def contrast(images, translated):
        queries = generator.features(translated)
        keys, places = projection(generator.features(images))
        total = 0
        for query, key in zip(projection(queries, places)[0], keys, strict=True):
            query, key = (x.unflatten(0, (batch, -1)) for x in (query, key.detach()))
            logits = torch.bmm(query, key.transpose(1, 2)).flatten(0, 1) / 0.07
            total += functional.cross_entropy(
                logits, torch.arange(query.shape[1], device=query.device).repeat(batch)
            )
        return total / len(keys)

    def step():
        fake, same = generator(torch.cat([a, b])).split(batch)
        _require(judge, value=True)
        _update(optimizers[0], (_lsgan(judge(fake.detach()), real=False) + _lsgan(judge(b), real=True)) / 2)
        _require(judge, value=False)
        loss = _lsgan(judge(fake), real=True) + (contrast(a, fake) + contrast(b, same)) / 2
        for optimizer in optimizers[1:]:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers[1:]:
            optimizer.step()

    return step


def pix2pix(size: int, batch: int, to):
    """Returns a function that takes a step: discriminator first, then generator."""
    generator = to(networks.unet(size.bit_length() - 1))
    judge = to(networks.patch_discriminator(6, norm=nn.BatchNorm2d))
    generators, judges = _optimizer(generator), _optimizer(judge)
    a, b = (to(torch.rand(batch, 3, size, size) * 2 - 1) for _ in range(2))

    def entropy(logits, *, real: bool):
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def step():
        fake = generator(a)
        _require(judge, value=True)
        judged = [judge(torch.cat([a, x], 1)) for x in (fake.detach(), b)]
        _update(judges, (entropy(judged[0], real=False) + entropy(judged[1], real=True)) / 2)
        _require(judge, value=False)
        logits = judge(torch.cat([a, fake], 1))
        _update(generators, entropy(logits, real=True) + 100 * functional.l1_loss(fake, b))

    return step


def stargan_v2(size: int, batch: int, to, domains: int = 2):
    """Returns a function that takes a step: discriminator then generator, by latent codes and by target images."""
    generator, mapping = to(networks.StarGanGenerator(size)), networks.MappingNetwork(domains)
    encoder, judge = (to(networks.StarGanTrunk(size, domains, n)) for n in (64, 1))
    betas = (0.0, 0.99)
    judges, generators = _optimizer(judge, rate=1e-4, betas=betas), _optimizer(generator, betas=betas)
    encoders, mappings = _optimizer(encoder, betas=betas), _optimizer(mapping, betas=betas)
    source, target, other = (to(torch.rand(batch, 3, size, size) * 2 - 1) for _ in range(3))
    latents = torch.randn(2, batch, 16)
    domain, goal = torch.randint(domains, (2, batch))

    def style(*, latent: bool, second: bool):
        if latent:
            return mapping(latents[int(second)], goal)
        return encoder(other if second else target, goal)

    def discriminator(*, latent: bool):
        _require(judge, value=True)
        # A copy: the counter of FLOPs cannot follow `autograd.grad` to a leaf.
        real = source.detach().requires_grad_().clone()
        logits = judge(real, domain)
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        r1 = gradient.square().sum((1, 2, 3)).mean() / 2
        with torch.no_grad():
            fake = generator(source, style(latent=latent, second=False))
        loss = functional.softplus(-logits).mean() + functional.softplus(judge(fake, goal)).mean() + r1
        _update(judges, loss)

    def generate(*, latent: bool):
        # The original leaves these on and throws the gradients away.
        _require(judge, value=False)
        _require(encoder, value=latent)
        code = style(latent=latent, second=False)
        fake = generator(source, code)
        adversarial = functional.softplus(-judge(fake, goal)).mean()
        reconstructed = (encoder(fake, goal) - code).abs().mean()
        with torch.no_grad():
            second = generator(source, style(latent=latent, second=True))
        cycle = (generator(fake, encoder(source, domain)) - source).abs().mean()
        loss = adversarial + reconstructed - (fake - second).abs().mean() + cycle
        used = [generators, mappings, encoders] if latent else [generators]
        for optimizer in (generators, mappings, encoders):
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in used:
            optimizer.step()

    def step():
        for phase in (discriminator, generate):
            for latent in (True, False):
                phase(latent=latent)

    return step


STEPS = {'cyclegan': cyclegan, 'cut': cut, 'pix2pix': pix2pix, 'stargan_v2': stargan_v2}
