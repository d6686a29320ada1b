"""Translates image files with a trained run: one image or a folder, by a target image, a domain, or a latent code."""

import io
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
from rich.console import Console

from gan_transfer import data, processes, storage
from gan_transfer.checkpoint import BEST, NEWEST
from gan_transfer.errors import UserError, check_folder, from_user
from gan_transfer.inference import Run, Translator, open_run
from gan_transfer.methods.contract import Method
from gan_transfer.terminal import make_console

WRITES = ('.png', '.jpg', '.jpeg', '.webp')
WAITING_PIXELS = 2**26  # of images that wait for others of their size; 200 MB

Style = dict[
    str, np.ndarray
]  # the fields of a batch beside the source, of one sample, without a leading axis


def translate(
    config: Any,
    workdir: str,
    *,
    source: str,
    output: str,
    target: str | None = None,
    target_domain: str | None = None,
    seed: int | None = None,
    mask: str | None = None,
    overwrite: bool = False,
    best: bool = False,
) -> list[str]:
    """Translates `source` by the newest checkpoint in `workdir`, with averaged weights where there are any.

    Args:
      config: the run's config.
      workdir: the run's folder.
      source: an image, or a folder of images.
      output: the image to write, or a folder, which gets `NAME.png` for each source.
      target: an image in the target style, for methods that take one.
      target_domain: name or index of the target domain.
      seed: of the latent code, where a method takes one in place of a target image; 0 if None.
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
        source, output = storage.place(source), storage.place(output)
        with storage.reached(source if storage.is_remote(source) else output):
            files = _plan(source, output, overwrite=overwrite)
    run = open_run(config, workdir, folder=BEST if best else NEWEST)
    style = _style(config, run, target, target_domain, seed)
    style |= _mask(config, mask, len(files), console)
    method = run.experiment.method
    if not method.fully_convolutional:
        size = config.image_size
        console.print(f'{config.method.name} works at {size}x{size} px: images are resized there and back')
    written, unread = [], []
    limit = config.evaluate_batch_size * config.image_size**2  # px in a batch
    for group in _groups(config, method, files, limit, unread):
        images = np.stack([image for _, image, _ in group])
        batch = {'source': images, **{name: np.stack([value] * len(group)) for name, value in style.items()}}
        translated = Translator(run.experiment, len(group))(run.params, batch)
        for image, (path, _, size) in zip(translated, group, strict=True):
            if processes.is_first():
                with from_user():
                    _write(path, _to_size(image, size, method))
            written.append(str(path))
    if unread:
        done = f'{len(written)} of {len(files)} images were translated; '
        raise UserError((done if written else '') + '; '.join(unread))
    console.print('\n'.join(sorted(written)))
    return written


def _plan(
    source: storage.Path, output: storage.Path, *, overwrite: bool
) -> list[tuple[storage.Path, storage.Path]]:
    """Returns what is read and what is written, having looked at all of it."""
    if not source.exists():
        raise UserError(f'no such file or folder: --source={source}')
    if source.is_dir():
        names = sorted(path for path in source.iterdir() if data.has_image_name(path))
        if not names:
            raise UserError(f'--source={source} has no images ({", ".join(data.EXTENSIONS)})')
        if output.exists() and not output.is_dir():
            raise UserError(f'--source is a folder, so --output must be one; {output} is a file')
        files = [(path, output / f'{path.stem}.png') for path in names]
        seen: dict[storage.Path, storage.Path] = {}
        for path, written in files:
            if written in seen:
                raise UserError(f'{seen[written]} and {path} would both be written to {written}')
            seen[written] = path
    else:
        if output.is_dir():
            output = output / f'{source.stem}.png'
        if output.suffix.lower() not in WRITES:
            raise UserError(f'--output={output} must end in one of {", ".join(WRITES)}')
        files = [(source, output)]
    check_folder('output', files[0][1].parent)
    for _, written in files:
        if written.is_dir():
            raise UserError(f'--output: {written} is a folder, where an image would be written')
    there = [str(written) for _, written in files if written.exists()]
    if there and not overwrite:
        more = f' and {len(there) - 1} more' if len(there) > 1 else ''
        raise UserError(f'{there[0]}{more} exists; --overwrite replaces it')
    return files


def _style(config: Any, run: Run, target: str | None, target_domain: str | None, seed: int | None) -> Style:
    """Returns what the batch needs beside the sources; refuses what it has no use for."""
    method, name = run.experiment.method, config.method.name
    takes_target = 'target' in method.translate_fields
    if target is not None and not takes_target:
        raise UserError(f'{name} takes no target image; choose --target_domain of {", ".join(run.domains)}')
    if target is None and takes_target and not method.latent_size:
        raise UserError('this run was trained without latent codes: give the style by --target=IMAGE')
    if seed is not None and (target is not None or not takes_target):
        why = 'with a target image' if takes_target else f'by {name}'
        raise UserError(f'--seed is for latent codes; {why} nothing is drawn')
    style = {'target_domain': np.int32(_domain(run, target, target_domain))}
    if target is not None:
        with from_user():
            image = data.read_image(target, config.data.background)
        style['target'] = data.resize(image, (config.image_size, config.image_size))
    elif takes_target:
        style['latent'] = np.random.default_rng(seed or 0).normal(size=method.latent_size).astype(np.float32)
    return style


def _mask(config: Any, mask: str | None, files: int, console: Console) -> Style:
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


def _domain(run: Run, target: str | None, chosen: str | None) -> int:
    """Returns the index of the target domain: the chosen one, the only one, or that of the target image's folder."""
    names = {run.domains[index]: index for _, index in sorted(run.directions, key=lambda way: way[1])}
    choices = ', '.join(names)
    if chosen is not None:
        if chosen in names:
            return names[chosen]
        if chosen.isdecimal() and int(chosen) in names.values():
            return int(chosen)
        raise UserError(f'unknown --target_domain={chosen}; choose one of {choices}, by name or index')
    if len(names) == 1:
        return next(iter(names.values()))
    if target is not None:
        folder = pathlib.Path(target).absolute().parent.name
        found = {folder, *(folder.removeprefix(split) for split in ('train', 'test', 'val'))} & set(names)
        if len(found) == 1:
            return names[found.pop()]
    hint = ', which the target image does not tell' if target is not None else ''
    raise UserError(f'--target_domain is needed{hint}: one of {choices}')


Group = list[
    tuple[storage.Path, np.ndarray, tuple[int, int]]
]  # where to, the image as the networks take it, its size


def _groups(
    config: Any,
    method: Method,
    files: list[tuple[storage.Path, storage.Path]],
    limit: int,
    unread: list[str],
) -> Iterator[Group]:
    """Yields images of one size together, at most `limit` px at once; notes the files that cannot be read.

    Photos of many sizes would all wait for more of theirs: beyond WAITING_PIXELS the largest group goes as it is.
    """
    waiting: dict[tuple[int, ...], Group] = {}
    for path, written in files:
        try:
            image = data.read_image(path, config.data.background)
        except (ValueError, OSError) as error:
            unread.append(str(error))
            continue
        ready = _from_size(image, config, method)
        group = waiting.setdefault(ready.shape, [])
        group.append((written, ready, image.shape[:2]))
        if (len(group) + 1) * ready.shape[0] * ready.shape[1] > limit:
            yield waiting.pop(ready.shape)
        pixels = {shape: len(group) * shape[0] * shape[1] for shape, group in waiting.items()}
        if sum(pixels.values()) > WAITING_PIXELS:
            yield waiting.pop(max(pixels, key=pixels.get))
    yield from waiting.values()


def _from_size(image: np.ndarray, config: Any, method: Method) -> np.ndarray:
    """Makes an image one that the networks take: reflected up to the next multiple, or resized."""
    if not method.fully_convolutional:
        return data.resize(image, (config.image_size, config.image_size))
    # The innermost feature map must be wider than its own reflected border.
    smallest = 4 * method.size_multiple
    padding = [
        (total // 2, total - total // 2)
        for total in _missing(image.shape[:2], method.size_multiple, smallest)
    ]
    return np.pad(image, [*padding, (0, 0)], mode='reflect')


def _to_size(image: np.ndarray, size: tuple[int, int], method: Method) -> np.ndarray:
    """Brings a translated image back to its source's size."""
    if not method.fully_convolutional:
        return data.resize(image, size)
    top, left = ((there - wanted) // 2 for there, wanted in zip(image.shape[:2], size, strict=True))
    return image[top : top + size[0], left : left + size[1]]


def _missing(size: tuple[int, ...], multiple: int, smallest: int) -> list[int]:
    return [max(-(-length // multiple) * multiple, smallest) - length for length in size]


def _write(path: storage.Path, image: np.ndarray) -> None:
    """Writes the file whole or not at all."""
    kind = PIL.Image.registered_extensions()[path.suffix.lower()]
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, kind, **({} if kind == 'PNG' else {'quality': 95}))
    storage.write(path, file.getvalue())
