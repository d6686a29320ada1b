"""Which state of this code a number was made by."""

import functools
import pathlib
import shutil
import subprocess

SECONDS = 20  # for git to answer; no run waits longer for what is good to know
ROOT = pathlib.Path(__file__).parents[1]


@functools.cache
def code_version() -> str:
    """Returns the commit of the repository, with `-dirty` where files differ from it; '' where there is no repository.

    Looked up once, and at the start of a process: what it runs is what it was started with.
    """
    git = shutil.which('git')
    if git is None or not (ROOT / '.git').exists():
        return ''
    describe = ('describe', '--always', '--dirty', '--abbrev=12', '--exclude=*')
    try:
        done = subprocess.run(
            [git, '--no-optional-locks', '-C', str(ROOT), *describe],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return ''
    return done.stdout.strip()  # nothing where git refuses, as for a folder of another user
