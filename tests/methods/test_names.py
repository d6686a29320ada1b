"""What a method says of itself fits together, or its author is told."""

import dataclasses
import types
from typing import ClassVar

import jax
import pytest

from gan_transfer.methods import METHODS, names
from tests.tiny import default_experiment, every_method, make_batch, plain_gradient_step, plain_state


@every_method
def test_the_names_in_a_method_fit_together(name):
    experiment = default_experiment(name)
    names.check(experiment.method, experiment.networks)


def changed(**changes):
    """CUT with something else in its phase of the discriminator, its forward pass, or of its class."""
    cut = METHODS['cut']

    @dataclasses.dataclass(frozen=True)
    class Changed(cut):
        batch_fields: ClassVar[tuple[str, ...]] = changes.pop('batch_fields', cut.batch_fields)
        translate_fields: ClassVar[tuple[str, ...]] = changes.pop('translate_fields', cut.translate_fields)

        def forwards(self):
            return (super().forwards()[0]._replace(**changes.get('forward', {})),)

        def phases(self):
            first, second = super().phases()
            return first._replace(**changes.get('phase', {})), second

    return Changed()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'forward': {'networks': ('decoder',)}},
            "translated names the network 'decoder'; the networks are gen",
        ),
        (
            {'phase': {'networks': ('judge',)}},
            "discriminator names the network 'judge'; the networks are generator",
        ),
        (
            {'phase': {'side': 'generator'}},
            'discriminator is a phase of the generator side, its network discr',
        ),
        (
            {'phase': {'forwards': ('made',)}},
            "discriminator names the forward pass 'made'; there are translated",
        ),
        ({'phase': {'networks': ()}}, 'no phase trains the network discriminator, and it has no pretrained'),
        (
            {'translate_fields': ('source', 'source_domain')},
            "translate_fields has 'source_domain'; choose from",
        ),
        (
            {'batch_fields': ('source', 'target', 'latent')},
            'batch_fields has latent codes, and latent_size is 0',
        ),
    ],
)
def test_names_that_do_not_fit_are_told(changes, message):
    networks = default_experiment('cut').networks
    with pytest.raises(ValueError, match=message):
        names.check(changed(**changes), networks)


@pytest.mark.xdist_group('cut')
def test_a_shared_forward_pass_has_the_networks_that_it_names():
    """Through any other no phase would differentiate: its gradients would be lost without a word."""
    experiment = default_experiment('cut')
    whole = experiment.method
    (forward,) = whole.forwards()
    method = types.SimpleNamespace(
        phases=whole.phases,
        forwards=lambda: (forward._replace(networks=('patch_projection',)),),
        batch_fields=whole.batch_fields,
    )
    step = plain_gradient_step(experiment, method=method)
    with pytest.raises(ValueError, match="there is no network 'generator' here, but patch_projection"):
        jax.eval_shape(step, plain_state(experiment), make_batch(experiment, 'cut'), jax.random.key(0))
