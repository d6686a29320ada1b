"""The smallest method that has all that a resumed run must bring back: a pool, noise, averages, batch statistics.

For tests of the loop, where tracing a real method would take most of the time; real ones are in the table of `tiny.py`.
"""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from configs import common
from gan_transfer import image_pool, losses, random
from gan_transfer.methods.contract import Forward, Method, Network, Phase, PhaseOutput

NAME = 'smallest'


class Convolution(nn.Module):
    """One convolution."""

    features: int

    @nn.compact
    def __call__(self, images):
        return nn.Conv(self.features, (3, 3))(images), {}


@dataclasses.dataclass(frozen=True)
class Smallest(Method):
    """A generator and a discriminator of one convolution each.

    A batch whose sources' mean is above `largest_mean` makes a loss that is not finite.
    """

    pool_size: int = 16
    largest_mean: float = 1.0

    batch_fields: ClassVar[tuple[str, ...]] = ('source', 'paired')
    sampling: ClassVar[str] = 'paired'
    translate_fields: ClassVar[tuple[str, ...]] = ('source',)
    fully_convolutional: ClassVar[bool] = True
    size_multiple: ClassVar[int] = 1

    def directions(self, domains):
        return ((0, 1),)

    def networks(self, settings):
        image = (jax.ShapeDtypeStruct((1, settings.image_size, settings.image_size, 3), jnp.float32),)
        return {
            'generator': Network('generator', Convolution(3), image, averaged=True),
            'discriminator': Network('discriminator', Convolution(1), image),
        }

    def memory(self, batch_size, image_size):
        return {'pool': image_pool.create(self.pool_size, batch_size, (image_size, image_size, 3))}

    def forwards(self):
        return (Forward('translated', ('generator',), self._translated),)

    def phases(self):
        shared = ('translated',)
        return (
            Phase('discriminator', 'discriminator', ('discriminator',), self.discriminator_loss, shared),
            Phase('generator', 'generator', ('generator',), self.generator_loss, shared),
        )

    def _translated(self, given):
        source = given.batch['source']
        mean = jax.lax.pmean(source.mean(), given.axes)
        noise = jax.random.normal(random.named(given.key, 'noise'), source.shape[1:])
        return {'images': given.networks['generator'](source - mean + 0.1 * noise)[0]}

    def _score(self, given, images):
        return given.networks['discriminator'](self.shown(given, images))[0]

    def discriminator_loss(self, given):
        keys = random.per_sample(given.key, given.batch['slot'])
        fake, pool = image_pool.query(given.memory['pool'], given.forwards['translated']['images'], keys)
        loss, terms = self.discriminator_terms(
            given, lambda x: self._score(given, x), given.batch['paired'], fake
        )
        return PhaseOutput(loss, terms, {'pool': pool})

    def generator_loss(self, given):
        fake = given.forwards['translated']['images']
        mean = jax.lax.pmean(given.batch['source'].mean(), given.axes)
        terms = {
            'adversarial': losses.generator_adversarial(self.adversarial, self._score(given, fake)),
            'l1': losses.l1(fake, given.batch['paired']) + jnp.where(mean > self.largest_mean, jnp.nan, 0.0),
        }
        return PhaseOutput(sum(terms.values()), terms)

    def translate(self, networks, batch, key):
        return networks['generator'](batch['source'])[0]


def make_config(data, **changes):
    """Returns a config of the method on a folder of pairs, with everything that a run can have, often.

    METHODS has to have it: it is no method of the package.
    """
    config = common.get_config()
    config.method = common.method(NAME)
    config.image_size, config.batch_size, config.train_images = 32, 4, 160
    config.data.source, config.data.path = 'folder', str(data)
    config.optimizer.update(learning_rate=1e-3, schedule='linear', decay_start_images=16)
    config.average_decay = 0.9
    config.log_every_images, config.sample_every_images, config.sample_rows = 4, 32, 2
    config.checkpoint_every_images = 16
    config.evaluation.update(protocols=('paired_test',), resamples=2, gallery_images=0)
    config.evaluate_batch_size = 4
    config.update(changes)
    config.lock()
    common.validate(common.resolve(config), 2)
    return config
