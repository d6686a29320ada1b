"""Translates image files with a trained run: one image or a folder, by target images, a domain, or latent codes."""

import io
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from rich.console import Console

from gan_transfer import data, processes, storage
from gan_transfer.checkpoint import BEST, NEWEST
from gan_transfer.errors import UserError, check_folder, from_user
from gan_transfer.inference import (
    Fields,
    Run,
    Translator,
    check_style,
    find_domain,
    from_size,
    latent_codes,
    open_run,
    to_size,
)
from gan_transfer.terminal import make_console

WRITES = ('.png', '.jpg', '.jpeg', '.webp')
WAITING_PIXELS = 2**26  # of images that wait for others of their size; 200 MB
MOST_SEEDS = 10_000


class Style(NamedTuple):
    """What sources are translated by: a target image, a seed of a latent code, or neither; the name ends files'."""

    name: str = ''
    target: storage.Path | None = None
    seed: int | None = None


class Job(NamedTuple):
    """A source, and what is written of it: a file for each style."""

    source: storage.Path
    outputs: tuple[storage.Path, ...]


def translate(
    config: Any,
    workdir: str,
    *,
    source: str,
    output: str,
    target: str | None = None,
    target_domain: str | None = None,
    seed: str | None = None,
    mask: str | None = None,
    overwrite: bool = False,
    best: bool = False,
) -> list[str]:
    """Translates `source` by the newest checkpoint in `workdir`, with averaged weights where there are any.

    Args:
      config: the run's config.
      workdir: the run's folder.
      source: an image, or a folder of images.
      output: the image to write, or a folder, which gets `NAME.png` for each source, and `NAME_STYLE.png` for each
        source and style, called by its target image or its seed, where there are several.
      target: an image in the target style, or a folder of them, for methods that take one.
      target_domain: name or index of the target domain.
      seed: of the latent code, where a method takes one in place of a target image; several are `0-9` or `1,3`; 0 if
        None.
      mask: an image that is bright where the source's detail is kept, for StarGAN v2's generator of faces: red for its
        features at 32 px, green for those at 64 and 128; grey for all.
      overwrite: replace files that exist.
      best: take the checkpoint that evaluations in the training found best.

    Returns:
      the paths written.

    Raises:
      UserError: for files that are not there or there already, and for options that the method has no use for.
    """
    console = make_console(quiet=not processes.is_first())
    with from_user():
        source = storage.place(source)
        styles, folder = _list_styles(target, seed)
        with storage.reached(source if storage.is_remote(source) else storage.place(output)):
            others = [style.target for style in styles if style.target is not None]
            others += [storage.place(mask)] if mask is not None else []
            jobs = _plan(source, output, [style.name for style in styles], others, overwrite=overwrite)
    run = open_run(config, workdir, folder=BEST if best else NEWEST)
    check_style(
        run,
        target=target is not None,
        latent=seed is not None or (target is None and bool(run.experiment.method.latent_size)),
    )
    fields = {'target_domain': np.int32(find_domain(run, target_domain, folder))}
    fields |= _mask(config, mask, len(jobs), console)
    styled = [fields | _read_style(config, run, style) for style in styles]
    method = run.experiment.method
    if not method.fully_convolutional:
        size = config.image_size
        console.print(f'{config.method.name} works at {size}x{size} px: images are resized there and back')
    written, unread = [], []
    limit = config.evaluate_batch_size * config.image_size**2  # px in a batch
    for group in _groups(config, run, jobs, limit, unread):
        batch = {name: np.stack([styled[row.style][name] for row in group]) for name in styled[0]}
        batch['source'] = np.stack([row.image for row in group])
        translated = Translator(run.experiment, len(group))(run.params, batch)
        for image, row in zip(translated, group, strict=True):
            if processes.is_first():
                with from_user():
                    _write(row.output, to_size(image, row.size, run))
            written.append(str(row.output))
    if unread:
        done = len(jobs) - len(unread)
        raise UserError(
            (f'{done} of {len(jobs)} images were translated; ' if done else '') + '; '.join(unread)
        )
    console.print('\n'.join(data.printable(path) for path in sorted(written)))
    return written


def _list_styles(target: str | None, seed: str | None) -> tuple[list[Style], str]:
    """Returns the styles that are asked for, and the name of the folder that target images are in."""
    if target is None:
        seeds = [None] if seed is None else _seeds(seed)
        return [Style(str(value), seed=value) for value in seeds], ''
    path = storage.place(target)
    with storage.reached(path):
        if not path.exists():
            raise UserError(f'no such file or folder: --target={target}; a folder gives several styles')
        if not path.is_dir():
            return [Style(path.stem, path)], pathlib.Path(target).absolute().parent.name
        images = _images_in(path, 'target')
    for image, after in itertools.pairwise(sorted(images, key=lambda image: image.stem)):
        if image.stem == after.stem:
            raise UserError(
                f'{image} and {after.name} of --target have one name, by which translations are called'
            )
    return [Style(image.stem, image) for image in images], pathlib.Path(target).absolute().name


def _images_in(folder: storage.Path, flag: str) -> tuple[storage.Path, ...]:
    images = data.list_images(folder)
    if not images:
        raise UserError(f'--{flag}={folder} has no images ({", ".join(data.EXTENSIONS)})')
    return images


def _seeds(text: str) -> list[int]:
    """Reads `3`, `1,3` or `0-9`."""
    found: list[int] = []
    for part in text.split(','):
        first, dash, last = part.strip().partition('-')
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or not int(first) <= int(last) < 2**32:
            raise UserError(f'--seed={text}: a number below 2**32, several as 1,3 or a range as 0-9')
        if int(last) - int(first) >= MOST_SEEDS:
            raise UserError(f'--seed={text}: at most {MOST_SEEDS} seeds in a range')
        found.extend(range(int(first), int(last) + 1))
    return list(dict.fromkeys(found))


def _plan(
    source: storage.Path,
    given: str,
    styles: Sequence[str],
    others: Sequence[storage.Path],
    *,
    overwrite: bool,
) -> list[Job]:
    """Returns what is read and what is written, having looked at all of it.

    Args:
      source: an image or a folder.
      given: where to write.
      styles: their names.
      others: what else is read.
      overwrite: whether what exists may be replaced; what is read never is.
    """
    output = storage.place(given)
    if not source.exists():
        raise UserError(f'no such file or folder: --source={source}')
    is_folder = source.is_dir()
    sources = _images_in(source, 'source') if is_folder else (source,)
    reasons = {
        '--source is a folder': is_folder,
        'there are several styles': len(styles) > 1,
        '--output ends in /': given.endswith('/'),
    }
    reason = next((reason for reason, holds in reasons.items() if holds), '')
    if reason or output.is_dir():
        if not output.is_dir() and (output.exists() or output.suffix.lower() in WRITES):
            raise UserError(f'{reason}, so --output must be a folder; {output} is, or is called like, a file')
        endings = [f'_{style}.png' for style in styles] if len(styles) > 1 else ['.png']
        jobs = [Job(path, tuple(output / f'{path.stem}{ending}' for ending in endings)) for path in sources]
        seen: dict[storage.Path, storage.Path] = {}
        for job in jobs:
            for written in job.outputs:
                if written in seen:
                    raise UserError(f'{seen[written]} and {job.source} would both be written to {written}')
                seen[written] = job.source
    else:
        if output.suffix.lower() not in WRITES:
            raise UserError(f'--output={output} must end in one of {", ".join(WRITES)}')
        jobs = [Job(source, (output,))]
    outputs = [path for job in jobs for path in job.outputs]
    check_folder('output', outputs[0].parent)
    for written in outputs:
        if written.is_dir():
            raise UserError(f'--output: {written} is a folder, where an image would be written')
    read = {os.path.realpath(path) for path in (*sources, *others)}
    for written in outputs:
        if os.path.realpath(written) in read:
            raise UserError(f'--output: {written} is an image that is read; take another file or folder')
    there = [str(written) for written in outputs if written.exists()]
    if there and not overwrite:
        more = f' and {len(there) - 1} more' if len(there) > 1 else ''
        raise UserError(f'{there[0]}{more} exists; --overwrite replaces it')
    return jobs


def _read_style(config: Any, run: Run, style: Style) -> Fields:
    """Returns a style's fields of a batch, of one sample, without a leading axis."""
    if style.target is not None:
        with from_user():
            image = data.read_image(style.target, config.data.background)
        return {'target': run.resize(image)}
    if 'target' not in run.experiment.method.translate_fields:
        return {}
    return {'latent': latent_codes(run, [style.seed or 0])[0]}


def _mask(config: Any, mask: str | None, files: int, console: Console) -> Fields:
    """Returns the masks of a batch's samples, or nothing for a generator that takes none."""
    if not config.method.get('high_pass_weight', 0.0):
        if mask is not None:
            raise UserError(
                f"--mask is for StarGAN v2's generator of faces; this {config.method.name} has none"
            )
        return {}
    if mask is None:
        console.print(
            'no --mask of the face: detail of the source is not carried over, as it is with landmarks'
        )
        return {}
    if files > 1:
        raise UserError(f'--mask is of one source, and --source has {files}')
    with from_user():
        image = data.read_image(mask, config.data.background)
    size = (config.image_size, config.image_size)
    return {'mask': data.resize(image, size)[..., :2].astype(np.float32) / 255}


class Row(NamedTuple):
    """A sample of a batch: where it goes, the image as the networks take it, the source's size, the style's index."""

    output: storage.Path
    image: np.ndarray
    size: tuple[int, int]
    style: int


def _groups(config: Any, run: Run, jobs: Sequence[Job], limit: int, unread: list[str]) -> Iterator[list[Row]]:
    """Yields images of one size together, at most `limit` px at once; notes the files that cannot be read.

    Photos of many sizes would all wait for more of theirs: beyond WAITING_PIXELS the largest group goes as it is.
    """
    waiting: dict[tuple[int, ...], list[Row]] = {}
    for job in jobs:
        try:
            image = data.read_image(job.source, config.data.background)
        except (ValueError, OSError) as error:
            unread.append(str(error))
            continue
        ready = from_size(image, run)
        for style, output in enumerate(job.outputs):
            group = waiting.setdefault(ready.shape, [])
            group.append(Row(output, ready, image.shape[:2], style))
            if (len(group) + 1) * ready.shape[0] * ready.shape[1] > limit:
                yield waiting.pop(ready.shape)
        pixels = {shape: len(group) * shape[0] * shape[1] for shape, group in waiting.items()}
        if sum(pixels.values()) > WAITING_PIXELS:
            yield waiting.pop(max(pixels, key=pixels.get))
    yield from waiting.values()


def _write(path: storage.Path, image: np.ndarray) -> None:
    """Writes the file whole or not at all."""
    kind = PIL.Image.registered_extensions()[path.suffix.lower()]
    file = io.BytesIO()
    try:
        PIL.Image.fromarray(image).save(file, kind, **({} if kind == 'PNG' else {'quality': 95}))
    except (ValueError, OSError) as error:  # neither WebP nor JPEG holds images of any size
        raise ValueError(f'{path} cannot be written: {error}') from error
    storage.write(path, file.getvalue())
