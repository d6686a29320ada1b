"""The main job, sized for two CPU cores: StarGAN v2 on emoji, a source image in the style of a target image, at 64 px.

    python launch.py --config=configs/quickstart.py --workdir=runs/quickstart

Twelve minutes of training. Differs from the paper's recipe (`stargan_v2_afhq.py`) by what a short run on a small set
needs: a second game on the features of VGG16, which also tie outputs to target image and source; skips, norms of pixels
in the decoder, no latent pass, narrow networks, seven times the learning rate and its decay; the comments say why.
"""

from configs import common


def get_config(argument=''):
    common.parse(argument)
    config = common.get_config()
    config.method = common.method(
        'stargan_v2',
        # Target images alone give the styles; half the work of the paper's two passes.
        passes=('reference',),
        reference_trains='all',
        # Where the target may be of the source's own domain, changing nothing is right for a third of the samples, and
        # the discriminator takes many times as long to tell domains apart.
        own_domain=False,
        # Without the mapping network's scattered codes, reconstructing styles rewards an encoder that sees no
        # difference between target images, and only diversity holds against that.
        style_weight=0.1,
        diversity_weight=3.0,
        diversity_images=30_000,
        cycle_weight=2.0,
        # A discriminator that knows what matters in pictures from the start: clean shapes and fills.
        feature_network='vgg16',
        feature_weight=2.0,
        # Ties the colours to those of the target image ...
        moments_weight=20.0,
        # ... and lines to their places in the source. Without this it is chance whether a run keeps them.
        contrast_weight=1.0,
        # Eyes and mouths, which half the size has lost; and black and white as they can be saved.
        skips=True,
        clip=True,
        # AdaIN makes colours as strong as the share of the image that they fill is small, and spots to hold against it.
        pixel_norm=True,
        # R1 in the proportion of image size (Karras et al. 2020, appendix B), and at every eighth step.
        r1_weight=0.5,
        regularize_every=8,
        width=24,
        max_width=128,
        downsamplings=2,
        style_encoder_width=16,
        style_size=16,
    )
    config.image_size = 64
    config.batch_size = 4
    config.train_images = 5_000
    config.data.source = 'emoji'
    config.data.augmentation = 'random_resized_crop'
    config.optimizer.learning_rate = 7e-4
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.schedule = 'linear'
    config.optimizer.decay_start_images = config.get_oneway_ref('train_images') // 2
    config.average_decay = 0.995
    config.log_every_images = 320  # at a step with penalties
    config.sample_every_images = 1_000
    config.checkpoint_every_images = 1_000
    config.evaluation.protocols = ('paired_test',)  # the others take minutes more
    config.sample_rows = 9
    config.sample_columns = 9
    return config
