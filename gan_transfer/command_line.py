"""The command line and its mistakes, each one line: flags that are none, bad values, keys that a config has not."""

import difflib
import glob
import pathlib
import re

from absl import flags
from ml_collections import ConfigDict, config_flags

from gan_transfer.errors import UserError

CONFIGS = pathlib.Path(__file__).parents[1] / 'configs'
NAMES = ('config.data.domains', 'config.evaluation.protocols')
# What Python says of a value that is no number -> what the user is told.
NUMBERS = {
    r'invalid literal for int\(\) with base 10: (.*)': r'\1 is no whole number',
    r'could not convert string to float: (.*)': r'\1 is no number',
}
RUN_CONFIG, DEFAULTS = CONFIGS / '_run.py', CONFIGS / 'common.py'


def parse(argv: list[str]) -> list[str]:
    """Parses absl's flags, `--config=FILE` and its overrides among them; returns the program's name.

    Raises:
      UserError: about what the user wrote.
    """
    argv = _with_config(_with_quoted_names(_with_saved_config(argv)))
    name = _given(argv, 'config.method.name')
    if name is not None:
        raise UserError(
            f'--config.method.name={name}: the other keys of a config are those of its own method; take a config file '
            'of the one that is wanted, such as --config=configs/cut.py'
        )
    path = (_given(argv, 'config') or '').partition(':')[0]
    if path and not path.endswith('.py'):
        raise UserError(
            f'--config={path} is no config file: it takes a .py file, or the config.json of a run'
        )
    try:
        rest = flags.FLAGS(argv)
    except flags.IllegalFlagValueError as error:
        raise _config_error(error) from error
    except flags.Error as error:
        text = str(error)
        if 'config.' in text and not any(argument.startswith('--config=') for argument in argv):
            text += ': --config=FILE must come first'
        raise UserError(text) from error
    except (AttributeError, KeyError) as error:
        # ml_collections says so about an override of a key that there is not; a config file may also say it
        # of itself, and that is a fault to be seen whole.
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_name == 'get_config':
                raise
            trace = trace.tb_next
        raise _unknown_key(argv) or error from error
    if len(rest) > 1:
        raise UserError(f'not a flag: {rest[1]!r}; flags are written --name=value')
    config = flags.FLAGS['config'].value
    if config is not None and not isinstance(config, ConfigDict):
        path = config_flags.get_config_filename(flags.FLAGS['config']).partition(':')[0]
        there = sorted(file for file in glob.glob('configs/[!_]*.py') if file != f'configs/{DEFAULTS.name}')
        near = difflib.get_close_matches(path, there, 1)
        hint = f'; did you mean {near[0]}?' if near else ';'
        if not there:
            raise UserError(
                f'no config file {path!r}; paths are seen from the folder that the command is started in'
            )
        raise UserError(f'no config file {path!r}{hint} there are: {", ".join(there)}')
    return rest


def names_a_size() -> bool:
    """Whether the user has chosen an image size: by the key, or by a config file."""
    flag = flags.FLAGS['config']
    if flag.value is None:
        return False
    chosen = config_flags.get_config_filename(flag) != str(DEFAULTS)
    return chosen or 'image_size' in config_flags.get_override_values(flag)


def _with_saved_config(argv: list[str]) -> list[str]:
    """Lets `--config=RUN/config.json` name the config of another run."""
    given, ending = _given(argv, 'config'), '/config.json'
    if given is None or not f'/{given}'.endswith(ending):
        return argv
    folder = given.removesuffix('config.json').rstrip('/') or '.'
    asked, names = f'{RUN_CONFIG}:{folder}', ('-config', '--config')
    place = next(i for i, argument in enumerate(argv) if argument.partition('=')[0] in names)
    behind = 1 if '=' in argv[place] else 2
    return [*argv[:place], f'--config={asked}', *argv[place + behind :]]


def _with_config(argv: list[str]) -> list[str]:
    """Puts a config where there is none: for overrides with two folders the defaults, else the one saved with the run.

    A run that is imported gives its own, with overrides or without.
    """
    source = _given(argv, 'checkpoint')
    if _given(argv, 'from') == 'run' and source and _given(argv, 'config') is None:
        return [argv[0], f'--config={RUN_CONFIG}:{source}', *argv[1:]]
    workdir, two_folders = _given(argv, 'workdir'), _given(argv, 'real') is not None
    if _given(argv, 'config') is not None or _given(argv, 'from') is not None:
        return argv
    if not any(_key(argument).startswith('config.') for argument in argv):
        return argv
    if not two_folders and workdir is None:
        return argv
    config = DEFAULTS if two_folders else f'{RUN_CONFIG}:{workdir}'
    return [argv[0], f'--config={config}', *argv[1:]]


def _with_quoted_names(argv: list[str]) -> list[str]:
    """Makes `--config.data.domains=a,b` what it is meant for: ml_collections reads `2019_1` as a number."""
    quoted, rest = [], iter(argv)
    for argument in rest:
        flag, equals, value = argument.partition('=')
        if flag.lstrip('-') in NAMES:
            value = value if equals else next(rest, '')
            if not value.startswith(('(', '[', '"', "'")):
                value = repr(tuple(name.strip() for name in value.split(',') if name.strip()))
            argument = f'{flag}={value}'
        quoted.append(argument)
    return quoted


def _given(argv: list[str], name: str) -> str | None:
    """Returns the value of a flag, written `--name=value` or `--name value`; None where it is not there."""
    for i, argument in enumerate(argv):
        flag, equals, value = argument.partition('=')
        if flag in (f'-{name}', f'--{name}'):
            return value if equals else ''.join(argv[i + 1 : i + 2])
    return None


def _key(argument: str) -> str:
    """Returns what a flag is the value of: `config.a` of `--config.a=1` and of `--noconfig.a`."""
    return argument.partition('=')[0].lstrip('-').removeprefix('no')


def _config_error(error: flags.IllegalFlagValueError) -> Exception:
    """The mistake behind a value that config_flags refused; a fault of the config file itself is kept whole."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError) and 'Traceback' not in str(cause):
            return UserError(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    if 'Error whilst parsing config file' in text:
        return RuntimeError(text)
    for said, meant in NUMBERS.items():
        text = re.sub(said, meant, text)
    return UserError(' '.join(text.removeprefix('flag ').split()))


def _unknown_key(argv: list[str]) -> UserError | None:
    """An error that names the first override of a key that the config has not."""
    config = flags.FLAGS['config'].parser.parse(_given(argv, 'config'))
    for argument in argv:
        key = _key(argument)
        if not key.startswith('config.'):
            continue
        node, walked = config, 'config'
        for part in key.split('.')[1:]:
            if not isinstance(node, ConfigDict):
                return UserError(f'{walked} has no keys; got --{key}')
            if part not in node:
                near = difflib.get_close_matches(part, list(node), 1)
                hint = f'; did you mean {walked}.{near[0]}?' if near else ';'
                return UserError(
                    f'unknown key --{key}{hint} {walked} has: {", ".join(sorted(node)) or "none"}'
                )
            node, walked = node[part], f'{walked}.{part}'
    return None
