"""What CUT and CycleGAN share: ResNet generators against patch discriminators, by unpaired images of two domains."""

from gan_transfer.methods.contract import Method
from gan_transfer.networks import patchgan, resnet


def check(name: str, method: Method, image_size: int) -> None:
    """Raises ValueError, with the choices, where the networks of the method `name` cannot be, or not at this size."""
    resnet.check(antialias=method.antialias, skips=method.skips, residual=method.residual, clip=method.clip)
    # A quarter of the size, which residual blocks mirror a pixel of at each border, is two and more.
    smallest = max(patchgan.smallest(method.discriminator_depth), 8 if method.generator_blocks else 4)
    if image_size % method.size_multiple or image_size < smallest:
        raise ValueError(
            f'image_size is {image_size}; {name} takes multiples of {method.size_multiple} from {smallest} on'
        )
