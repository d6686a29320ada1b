"""StarGAN v2 on emoji at 128 px, a source image in the style of a target image: minutes of one GPU.

    python launch.py --config=configs/emoji_gpu.py --workdir=runs/emoji_gpu --mode=train

The recipe of `emoji_stargan_v2.py` at twice the size, in bfloat16 and batches of eight: wider networks with one halving
more, targets of other domains only, twice the R1, a lower rate. Five minutes of an H100 that had other work too. Styles
are right, fills are blotchy and faces get lost: worse than at 64 px; `docs/results.md` has the numbers.
"""

from configs import common, emoji_stargan_v2


def get_config(argument=''):
    common.parse(argument)
    config = emoji_stargan_v2.get_config()
    config.method.update(width=32, max_width=256, downsamplings=3, r1_weight=1.0, own_domain=False)
    config.image_size = 128
    config.compute_dtype = 'bfloat16'
    config.batch_size = 8
    config.train_images = 52_800
    config.optimizer.learning_rate = 5e-4
    config.data.threads = 8
    config.log_every_images = 1_600  # at a step with penalties
    config.sample_every_images = config.checkpoint_every_images = 13_200
    config.evaluation.protocols = ('paired_test',)
    return config
