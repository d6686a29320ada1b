"""Whether what a method says of itself fits together: names of networks, forward passes, and fields of batches."""

from collections.abc import Mapping

from gan_transfer.methods.contract import Method, Network

TRANSLATE_FIELDS = ('source', 'target', 'target_domain', 'mask')


def check(method: Method, networks: Mapping[str, Network]) -> None:
    """Raises ValueError where names in a method do not fit together, which is a mistake of its author's."""
    phases, forwards = method.phases(), [forward.name for forward in method.forwards()]
    for part in (*method.forwards(), *phases):
        for name in set(part.networks) - set(networks):
            raise ValueError(
                f'{part.name} names the network {name!r}; the networks are {", ".join(networks)}'
            )
    for phase in phases:
        for name in phase.networks:
            if networks[name].side != phase.side:
                raise ValueError(
                    f'{phase.name} is a phase of the {phase.side} side, its network {name} is not'
                )
        for name in set(phase.forwards) - set(forwards):
            raise ValueError(f'{phase.name} names the forward pass {name!r}; there are {", ".join(forwards)}')
    trained = method.trained()
    for name, network in networks.items():
        if not network.pretrained and name not in trained:
            raise ValueError(f'no phase trains the network {name}, and it has no pretrained weights')
    for name in set(method.translate_fields) - set(TRANSLATE_FIELDS):
        raise ValueError(f'translate_fields has {name!r}; choose from {", ".join(TRANSLATE_FIELDS)}')
    if not method.latent_size and any(field.startswith('latent') for field in method.batch_fields):
        raise ValueError('batch_fields has latent codes, and latent_size is 0')
