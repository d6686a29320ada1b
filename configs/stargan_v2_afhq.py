"""StarGAN v2 on AFHQ (cat, dog, wild), every value as published (https://arxiv.org/abs/1912.01865, appendix B).

    python launch.py --config=configs/stargan_v2_afhq.py --workdir=runs/afhq --config.data.path=afhq

`afhq` is the folder of the published archive: `train/cat`, `train/dog`, `train/wild`, `test/...` or `val/...`.
Wants an accelerator: the original takes three days on one V100.
Expected: Fréchet distances of 16.2 (latent) and 19.8 (reference), by the original's own protocol.
"""

from configs import common

BATCH_SIZE = 8
ITERATIONS = 100_000


def get_config(argument=''):
    common.parse(argument)
    config = common.get_config()
    config.method = common.method(
        'stargan_v2',
        adversarial='non_saturating',
        # The original counts 0.5 times the squared gradient norm, as `losses.zero_centred_penalty` does.
        r1_weight=1.0,
        regularize_every=1,
        style_weight=1.0,
        diversity_weight=2.0,
        diversity_images=ITERATIONS * BATCH_SIZE,
        cycle_weight=1.0,
        latent_length=16,
        style_size=64,
        mapping_width=512,
        width=64,
        max_width=512,
        downsamplings=4,
        bottleneck_blocks=2,
    )
    config.image_size = 256
    config.batch_size = BATCH_SIZE
    config.train_images = ITERATIONS * BATCH_SIZE
    config.seed = 777
    config.data.source = 'folder'
    config.data.path = 'afhq'
    config.data.augmentation = 'random_resized_crop'
    config.data.crop_probability = 0.5
    config.data.crop_scale = (0.8, 1.0)
    config.data.crop_aspect = (0.9, 1.1)
    config.data.flip = True
    config.optimizer.learning_rate = 1e-4
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = 'constant'
    config.optimizer.networks = {'mapping_network': {'learning_rate': 1e-6}}
    config.average_decay = 0.999
    config.log_every_images = 80
    config.sample_every_images = 5_000 * BATCH_SIZE
    config.checkpoint_every_images = 10_000 * BATCH_SIZE
    config.evaluate_batch_size = 8
    # Need torchvision's Inception: --config.evaluation.torchvision_inception=PATH.
    config.evaluation.protocols = ('stargan_v2_latent', 'stargan_v2_reference')
    config.evaluation.counts = (500, 500, 500)
    return config
