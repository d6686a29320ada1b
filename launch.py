"""The one entry: reads flags and a config, and calls what `--mode` names.

    python launch.py --config=configs/quickstart.py --workdir=runs/quickstart
    python launch.py --workdir=runs/quickstart  # goes on
    python launch.py --mode=translate --workdir=runs/quickstart --source=a.png --target=b.png --output=c.png
    python launch.py --mode=compile --config=configs/quickstart.py --topology=v5e:2x2

A mistake in flags, config or files is one line on the standard error and exit status 2, which `--verbosity=1` shows the
traceback of; what cannot go on, a diverged training or a full disk, exits with 1, as `--mode=compile` does where a step
does not fit; what was interrupted (a training saves first) with 128 + the signal's number.
"""

import contextlib
import importlib
import logging as plain_logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from gan_transfer import command_line, xla_flags
from gan_transfer.code_version import code_version
from gan_transfer.errors import RunStopped, UserError, check_folder, from_user

MODES = ('train', 'evaluate', 'compare', 'translate', 'prepare', 'import', 'compile')

CONFIG = config_flags.DEFINE_config_file(
    'config',
    None,
    "FILE or FILE:ARGUMENTS; keys are changed by --config.KEY=VALUE. By default that of the workdir's run.",
    lock_config=True,
)
MODE = flags.DEFINE_enum('mode', 'train', MODES, 'What to do.')
WORKDIR = flags.DEFINE_string(
    'workdir', None, "The run's folder: checkpoints, logs, samples, its config. compare: the folder of runs."
)
SOURCE = flags.DEFINE_string(
    'source',
    None,
    'translate: an image, or a folder of images. evaluate: the folder of what --generated are translations of.',
)
TARGET = flags.DEFINE_string('target', None, 'translate: an image in the target style, or a folder of them.')
TARGET_DOMAIN = flags.DEFINE_string('target_domain', None, 'translate: name or index of the target domain.')
OUTPUT = flags.DEFINE_string(
    'output',
    None,
    'translate: the image to write, a folder where there are several. compile: the JSON file to write.',
)
REAL = flags.DEFINE_string('real', None, 'evaluate: a folder of real images, in place of a run.')
GENERATED = flags.DEFINE_string('generated', None, 'evaluate: the folder of images to compare with --real.')
SEED = flags.DEFINE_string(
    'seed', None, 'translate: seed of the latent code, where no target image is given; several: 1,3 or 0-9.'
)
MASK = flags.DEFINE_string(
    'mask', None, "translate: an image, bright where a face's detail is kept (StarGAN v2 of CelebA-HQ)."
)
BEST = flags.DEFINE_bool('best', False, 'translate: by the checkpoint that evaluations found best.')
OVERWRITE = flags.DEFINE_bool('overwrite', False, 'translate, compile: replace files that exist.')
FROM = flags.DEFINE_enum(
    'from', None, ('cut', 'cyclegan', 'pix2pix', 'stargan_v2', 'run'), 'import: whose files; run: our own.'
)
CHECKPOINT = flags.DEFINE_string('checkpoint', None, "import: the file, or the folder of files or the run's.")
COORDINATOR = flags.DEFINE_string(
    'coordinator', None, 'HOST:PORT of the first of several processes, where no cluster tells.'
)
PROCESS_COUNT = flags.DEFINE_integer(
    'process_count',
    None,
    'How many processes there are, where no cluster tells; 1: this one only.',
    lower_bound=1,
)
PROCESS_INDEX = flags.DEFINE_integer(
    'process_index', None, 'Which of the processes this is, from 0 on.', lower_bound=0
)
TOPOLOGY = flags.DEFINE_string(
    'topology', None, 'compile: hardware that need not be there, such as v5e:16x16 or h100:8.'
)
ALLOW_CONFIG_CHANGE = flags.DEFINE_bool(
    'allow_config_change', False, 'Go on with a run whose saved config differs from this one.'
)


# Mode -> its own flags; those that it needs.
PROCESSES = ('coordinator', 'process_count', 'process_index')
TAKES = {
    'train': ('config', 'workdir', 'allow_config_change', *PROCESSES),
    'evaluate': ('config', 'workdir', 'allow_config_change', 'real', 'generated', 'source', *PROCESSES),
    'compare': ('workdir',),
    'translate': (
        *('config', 'workdir', 'allow_config_change', *PROCESSES),
        *('source', 'target', 'target_domain', 'output', 'seed', 'mask', 'overwrite', 'best'),
    ),
    'prepare': ('config',),
    'import': ('config', 'workdir', 'from', 'checkpoint'),
    'compile': ('config', 'topology', 'output', 'overwrite'),
}
NEEDS = {
    'train': ('workdir',),
    'evaluate': ('workdir',),
    'compare': ('workdir',),
    'translate': ('workdir', 'source', 'output'),
    'prepare': ('config',),
    'import': ('workdir', 'from', 'checkpoint'),
    'compile': ('config',),
}


def check_flags() -> None:
    """Refuses flags that are missing, that the mode would ignore, or that name a folder where none can be.

    Raises:
      UserError: naming the flag.
    """
    mode = MODE.value
    for name in dict.fromkeys(name for names in TAKES.values() for name in names):
        if flags.FLAGS[name].present and name not in TAKES[mode]:
            takers = ' or '.join(f'--mode={other}' for other in MODES if name in TAKES[other])
            raise UserError(f'--{name} is for {takers}; the mode is {mode}')
    for name in NEEDS[mode]:
        if flags.FLAGS[name].value in (None, ''):
            raise UserError(f'--mode={mode} needs --{name}')
    if (REAL.value is None) != (GENERATED.value is None):
        raise UserError('--real and --generated go together: two folders of images')
    if mode == 'evaluate' and SOURCE.value is not None and REAL.value is None:
        raise UserError('--mode=evaluate takes --source with --real and --generated only')
    of_runs = [name for name in ('allow_config_change', *PROCESSES) if flags.FLAGS[name].present]
    if of_runs and REAL.value is not None:
        raise UserError(f'--{of_runs[0]} is for runs; two folders are compared by one process')
    if mode in ('train', 'import', 'evaluate', 'compare'):
        check_folder('workdir', WORKDIR.value, for_checkpoints=mode in ('train', 'import'))


def use_compilation_cache(folder: str) -> str:
    """Keeps compiled programs between runs, in $JAX_COMPILATION_CACHE_DIR or `folder`; returns where."""
    import jax

    if MODE.value == 'compile':  # a program out of the cache does not tell all about itself
        jax.config.update('jax_enable_compilation_cache', False)
    elif not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
        jax.config.update('jax_compilation_cache_dir', folder)
    return jax.config.jax_compilation_cache_dir


def read_config() -> ConfigDict:
    """Returns the config of the flags, or, for a run that exists, the one saved with it; checked."""
    from configs import _run, common
    from gan_transfer import run_config

    config = CONFIG.value
    if config is None and MODE.value == 'import':
        config = importlib.import_module(f'configs.{FROM.value}').get_config('size=256')
    elif config is None and REAL.value is not None:
        config = common.get_config()
    elif config is None:
        config = _run.get_config(WORKDIR.value)
    common.resolve(config)
    use_compilation_cache(os.path.join(run_config.cache_folder(config), 'xla'))
    common.validate(config, count_devices())
    if CONFIG.value is not None and MODE.value in ('evaluate', 'translate') and REAL.value is None:
        run_config.check_unchanged(WORKDIR.value, config, **config_change(config))
    return config


def config_change(config: ConfigDict) -> dict[str, Any]:
    """Returns how the config of a run that exists is compared."""
    from configs import _run

    return {'allow_change': ALLOW_CONFIG_CHANGE.value, 'defaults': _run.get_defaults(config.method.name)}


def count_devices() -> int | None:
    """Returns the number of devices that a training step is for; None where the mode takes none."""
    if TOPOLOGY.value is not None:
        from gan_transfer.compile.chips import find_slice

        return find_slice(TOPOLOGY.value).devices
    import jax  # after the cache is set

    return jax.device_count() if MODE.value in ('train', 'compile') else None


def run() -> int:
    """Does what the flags say; returns the exit status."""
    code_version()  # now: the files may have changed when a result names it
    if MODE.value == 'compare':
        from configs import _run
        from gan_transfer.compare import compare

        compare(WORKDIR.value, _run.get_defaults)
        return 0
    config = read_config()
    if MODE.value == 'train':
        from gan_transfer.train import train

        return train(config, WORKDIR.value, **config_change(config))
    if MODE.value == 'evaluate':
        from gan_transfer.evaluate import evaluate, evaluate_folders

        if REAL.value is None:
            evaluate(config, WORKDIR.value)
        else:
            resize = command_line.names_a_size()
            evaluate_folders(config, WORKDIR.value, REAL.value, GENERATED.value, SOURCE.value, resize=resize)
    elif MODE.value == 'translate':
        from gan_transfer.translate import translate

        translate(
            config,
            WORKDIR.value,
            source=SOURCE.value,
            output=OUTPUT.value,
            target=TARGET.value,
            target_domain=TARGET_DOMAIN.value,
            seed=SEED.value,
            mask=MASK.value,
            overwrite=OVERWRITE.value,
            best=BEST.value,
        )
    elif MODE.value == 'import':
        from configs import _run
        from gan_transfer import import_checkpoint as importing

        if FROM.value == 'run':
            importing.import_run(config, WORKDIR.value, CHECKPOINT.value, _run.get_config(CHECKPOINT.value))
        else:
            importing.import_checkpoint(config, WORKDIR.value, FROM.value, CHECKPOINT.value)
    elif MODE.value == 'compile':
        from gan_transfer.compile.compile_step import compile_step

        return compile_step(config, topology=TOPOLOGY.value, output=OUTPUT.value, overwrite=OVERWRITE.value)
    else:
        from gan_transfer import data
        from gan_transfer.experiment import make_method

        with from_user():
            dataset, method = data.prepare(config), make_method(config)
            method.check(config.image_size, len(dataset.domains))
            data.check_dataset(dataset, method.batch_fields, method.sampling, method.latent_size)
    return 0


def main(argv: list[str]) -> None:
    del argv
    if not flags.FLAGS['verbosity'].present:
        quiet_libraries()
    with leave_with_one_line():
        check_flags()
        xla_flags.set_flags()
        with all_processes(), leave_with_one_line():
            status = run()
    sys.exit(status)


def all_processes() -> contextlib.AbstractContextManager:
    """In it, this process works with the others of its run, where there are any and the mode is one for several."""
    if REAL.value is not None or MODE.value not in ('train', 'evaluate', 'translate', 'import'):
        return contextlib.nullcontext()
    from gan_transfer import processes

    alone = 1 if MODE.value == 'import' else None  # but it saves, and ends as a training does
    which = COORDINATOR.value, alone or PROCESS_COUNT.value, PROCESS_INDEX.value
    return processes.joined(*which, preemption=MODE.value == 'train')


def quiet_libraries() -> None:
    """Shows the package's own warnings only: what matters of a library's it raises too, and one line tells it."""
    logging.set_verbosity(logging.WARNING)
    logging.get_absl_handler().setFormatter(plain_logging.Formatter('warning: %(message)s'))
    logging.use_absl_handler()  # in place of those that libraries add: asyncio tells of each write that failed
    own = os.path.dirname(xla_flags.__file__)
    for place in (logging.get_absl_logger(), logging.get_absl_handler()):
        place.addFilter(lambda record: record.pathname.startswith(own))

    def tell(unraisable: Any) -> None:
        # After a failed read or write, TensorStore calls back into an event loop that Orbax has closed.
        if str(unraisable.exc_value) != 'Event loop is closed':
            sys.__unraisablehook__(unraisable)

    sys.unraisablehook = tell


@contextlib.contextmanager
def leave_with_one_line() -> Iterator[None]:
    """Exits at what is no fault of the program: a user's mistake, what cannot go on, Ctrl-C."""
    try:
        yield
    except UserError as error:
        fail(error, 2)
    except RunStopped as error:
        fail(error, 1)
    except KeyboardInterrupt:
        fail(RuntimeError('interrupted'), 128 + signal.SIGINT)
    except RuntimeError as error:  # of which JAX's is a kind
        if not any(sign in str(error) for sign in ('RESOURCE_EXHAUSTED', 'Out of memory')):
            raise
        told = RuntimeError(
            f'the device has too little memory ({str(error).splitlines()[0]}): lower batch_size or image_size, for '
            'training raise accumulation or set rematerialize, else lower evaluate_batch_size or take smaller images'
        )
        told.__cause__ = error
        fail(told, 1)


def fail(error: Exception, status: int) -> NoReturn:
    """Leaves with one line; `--verbosity=1` shows where it comes from."""
    if logging.get_verbosity() >= logging.DEBUG:
        logging.error('traceback:', exc_info=error)
    print('error:', ' '.join(str(error).split()), file=sys.stderr)
    sys.exit(status)


def parse_or_leave(argv: list[str]) -> list[str]:
    with leave_with_one_line():
        return command_line.parse(argv)


if __name__ == '__main__':
    app.run(main, flags_parser=parse_or_leave)
