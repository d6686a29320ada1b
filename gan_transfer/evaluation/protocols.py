"""The protocols by name: which images are compared, by which features, and which measures are taken.

Numbers of two protocols are never to be put side by side: features, resizing, the choice of real images and the number
of outputs each move a Fréchet distance by more than most papers' improvements do.
"""

import dataclasses
from collections.abc import Sequence

DISTANCES = ('kid', 'fid')  # kernel and Fréchet distance; a name is completed by the features: kid_vgg16
NEIGHBOURS = ('precision', 'recall', 'density', 'coverage')
TRUTH = ('absolute_error', 'ssim', 'psnr', 'lpips_alexnet')
FOLLOWED = 'target_followed'
RETRIEVAL = {'retrieval_top1': 1, 'retrieval_top5': 5}

SMALLEST_SET = 6  # images


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What is measured, in one direction after the other.

    Attributes:
      about: for readers of the results.
      headline: the measure by which the best checkpoint is chosen; lower is better for all of them.
      shown: the measures in the table on the terminal; all are in `evaluation.json`.
      features: what sets of images are compared by; empty: sets are not compared.
      resize: of the images for Inception, `feature_networks.RESIZES`.
      interpolation: of what is translated, and what translations are compared with one by one, to `image_size`: 'cubic'
        or 'linear' ...
      reals_interpolation: ... and of real images that sets are compared with, and all images of folders.
      reals: the split of the target domain that translated test images are compared with.
      reals_at_own_size: whether these are measured without resizing them to `image_size` first.
      styles: where the target images of methods that take one come from: 'train' or 'test' images of the target domain;
        'latent': latent codes in their place.
      outputs: translations of each source.
      measures: of each translated image.
      truth: the true image that measures compare with: 'paired' the counterpart among the test images, 'reference' the
        source's content in the very style of the target image; empty: none is needed.
      counts: the numbers of test images of source and target domain that it prescribes.
    """

    about: str
    headline: str
    shown: tuple[str, ...]
    features: str = ''
    resize: str = 'legacy'
    interpolation: str = 'cubic'
    reals_interpolation: str = 'cubic'
    reals: str = 'test'
    reals_at_own_size: bool = False
    styles: str = 'train'
    outputs: int = 1
    measures: tuple[str, ...] = ()
    truth: str = ''
    counts: tuple[int, int] | None = None


EGSDE = Protocol(
    about='500 test images each translated once against 500 test images, which keep the size of their files, as EGSDE '
    '(Zhao et al. 2022) on AFHQ, with the distance to the untouched source',
    headline='fid_inception_legacy',
    shown=('fid_inception_legacy', 'source_l2', 'source_psnr', 'source_ssim'),
    features='inception',
    reals_at_own_size=True,
    measures=('source_l2', 'source_psnr', 'source_ssim'),
    counts=(500, 500),
)
PROTOCOLS = {
    'default': Protocol(
        about='translated test images against the test images of the target domain, by features of VGG16 (means over '
        'all places of relu_4_3 and relu_5_3); the kernel distance first, because it is unbiased for few images',
        headline='kid_vgg16',
        shown=('kid_vgg16', 'fid_vgg16', 'coverage', 'retrieval_top1', 'structure', 'style_distance'),
        features='vgg16',
        measures=('structure', 'style_distance', 'leakage', 'class_kept', 'class_cosine'),
    ),
    'paired_test': Protocol(
        about='translated test images against their true counterparts; values in [0, 1], 8 bits a channel; LPIPS 0.1 '
        'by AlexNet',
        headline='lpips_alexnet',
        shown=(*TRUTH, 'content_kept', 'style_taken'),
        measures=TRUTH,
        truth='paired',
    ),
    'reference_truth': Protocol(
        about="translated test images against the truth: the source's content in the style of the target image; "
        'values in [0, 1], 8 bits a channel; LPIPS 0.1 by AlexNet; factors read by the recognizer',
        headline='lpips_alexnet',
        shown=('absolute_error', 'lpips_alexnet', FOLLOWED, 'content_kept', 'style_taken'),
        measures=(*TRUTH, FOLLOWED),
        truth='reference',
    ),
    'cut_test_test': Protocol(
        about='each test image translated once against all test images of the target domain, as CUT and pytorch-fid: '
        "FID's Inception of 2015, bilinear to 299 px without antialiasing",
        headline='fid_inception_legacy',
        shown=('fid_inception_legacy', 'kid_inception_legacy'),
        features='inception',
    ),
    'clean_test_test': Protocol(
        about='as cut_test_test, with the antialiased bicubic resizing of clean-fid (Parmar et al. 2022)',
        headline='fid_inception_clean',
        shown=('fid_inception_clean', 'kid_inception_clean'),
        features='inception',
        resize='clean',
    ),
    'egsde': EGSDE,
    'egsde_celeba_hq': dataclasses.replace(
        EGSDE,
        about='EGSDE (Zhao et al. 2022) from male to female faces of CelebA-HQ in the split of StarGAN v2: 1000 test '
        'images against all training images of the target domain, bilinear to image_size; all bilinear to 299 px, and '
        "normalized as a classifier's input before FID's Inception scales them once more",
        headline='fid_inception_egsde_celeba_hq',
        shown=('fid_inception_egsde_celeba_hq', 'source_l2', 'source_psnr', 'source_ssim'),
        resize='egsde_celeba_hq',
        reals_interpolation='linear',
        reals='train',
        reals_at_own_size=False,
        counts=(1000, 1000),
    ),
    'stargan_v2_latent': Protocol(
        about='StarGAN v2: ten latent codes for each test image, against all training images of the target domain; '
        "torchvision's Inception; LPIPS over the 45 pairs of a source's outputs",
        headline='fid_torchvision',
        shown=('fid_torchvision', 'diversity', 'diversity_batch_mean'),
        interpolation='linear',
        reals_interpolation='linear',
        features='torchvision',
        reals='train',
        styles='latent',
        outputs=10,
        measures=('diversity',),
    ),
    'stargan_v2_reference': Protocol(
        about='StarGAN v2: ten target images of the test set for each test image, against all training images of the '
        "target domain; torchvision's Inception; LPIPS over the 45 pairs of a source's outputs",
        headline='fid_torchvision',
        shown=('fid_torchvision', 'diversity', 'diversity_batch_mean'),
        interpolation='linear',
        reals_interpolation='linear',
        features='torchvision',
        reals='train',
        styles='test',
        outputs=10,
        measures=('diversity',),
    ),
}


def features_name(protocol: Protocol) -> str:
    """Returns the end of the names of distances: what they were measured by, the resizing where it matters."""
    return f'inception_{protocol.resize}' if protocol.features == 'inception' else protocol.features


def measured_by(protocol: Protocol) -> dict[str, str]:
    """Returns network -> what is measured by it, of those that a method may have trained its generator on."""
    found = {'alexnet': 'LPIPS'} if 'lpips_alexnet' in protocol.measures else {}
    if protocol.features == 'vgg16':
        found['vgg16'] = 'distances of sets, coverage, retrieval, structure and style'
    if 'class_kept' in protocol.measures:
        found['efficientnet_lite0'] = 'measures of the class'
    return found


def choose(names: Sequence[str], *, sets: bool, paired: bool, reference: bool) -> dict[str, Protocol]:
    """Returns the protocols to run: those named, or, where none is, those of ours that the data allows.

    Args:
      names: of the config, all known.
      sets: whether there are enough test images to compare as sets.
      paired: whether test images have true counterparts.
      reference: whether the truth in the style of a target image is known and the method takes one.

    Raises:
      ValueError: for one that the data has no truth for, and where none can be run.
    """
    there = {'': True, 'paired': paired, 'reference': reference}
    for name in names:
        if not there[PROTOCOLS[name].truth]:
            what = {
                'paired': 'test images with true counterparts: emoji, glyphs, pets and folders of pairs',
                'reference': 'pets, and a method that takes a target image',
            }[PROTOCOLS[name].truth]
            raise ValueError(f'the protocol {name} needs {what}')
    ours = ('default', 'paired_test', 'reference_truth')
    # Where the truth in the style of the target image is known, no other is asked for.
    truth = {'': True, 'paired': paired and not reference, 'reference': reference}
    chosen = names or [
        name for name in ours if truth[PROTOCOLS[name].truth] and (sets or not PROTOCOLS[name].features)
    ]
    if not chosen:
        raise ValueError(
            f'each domain needs {SMALLEST_SET} test images or more to be compared as sets, and no truth is known'
        )
    return {name: PROTOCOLS[name] for name in chosen}
