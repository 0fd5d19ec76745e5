"""Where the stores listen: unix sockets in a directory that only their owner may enter."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_PATH = 100
"""A socket's path has room for 107 bytes on Linux and 103 on macOS."""


@contextmanager
def socket_directory(data_dir: Path) -> Iterator[Path]:
    """`run` in the data directory, or a link of that name to a private one when that cannot be.

    It is always new: a lock file that PostgreSQL left beside its socket names a process id, which
    may belong to another process by now.
    """
    run = data_dir / "run"
    remove(run)
    if addressable(run):
        run.mkdir(mode=0o700)
        place = run
    else:
        place = Path(tempfile.mkdtemp(prefix="tandem-", dir=short_temp()))
        run.symlink_to(place)
    try:
        yield place
    finally:
        remove(run)


def addressable(run: Path) -> bool:
    """Short enough for a socket, and without a comma, which separates hosts in a database URL."""
    return len(os.fsencode(run / ".s.PGSQL.5432")) <= LONGEST_PATH and "," not in str(run)


def remove(run: Path) -> None:
    """The directory, or the link and the directory that it leads to, if that is surely ours."""
    if run.is_symlink():
        place = run.readlink()
        if place.name.startswith("tandem-") and place.parent == short_temp():
            shutil.rmtree(place, ignore_errors=True)
        run.unlink()
    elif run.exists():
        shutil.rmtree(run)


def short_temp() -> Path:
    """The temporary directory, unless its own path is too long for a socket below it."""
    place = Path(tempfile.gettempdir())
    return place if len(os.fsencode(place)) < LONGEST_PATH - 40 else Path("/tmp")  # noqa: S108
