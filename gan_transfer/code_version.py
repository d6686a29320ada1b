"""Which state of this code a number was made by."""

import functools
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).parents[1]


@functools.cache
def code_version() -> str:
    """Returns the commit of the repository, with `-dirty` where files differ from it; '' where there is no repository.

    Looked up once: what a process runs is what it was started with.
    """
    git = shutil.which('git')
    if git is None or not (ROOT / '.git').exists():
        return ''
    done = subprocess.run(
        [git, '-C', str(ROOT), 'describe', '--always', '--dirty', '--abbrev=12', '--exclude=*'],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()  # nothing where git refuses, as for a folder of another user
