"""Where the stores listen: unix sockets in a directory that only their owner may enter."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from api.embedded.data_directory import Directory
from api.embedded.path import OPEN_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_PATH = 100
"""A socket's path has room for 107 bytes on Linux and 103 on macOS."""


@contextmanager
def socket_directory(data: Directory) -> Iterator[Directory]:
    """`run` in the data directory, or a link of that name to a private one when that cannot be.

    It is always new: a lock file that PostgreSQL left beside its socket names a process id, which
    may belong to another process by now.
    """
    remove(data)
    try:
        if addressable(data.path / "run"):
            data.make("run")
            with data.entered("run") as place:
                yield place
        else:
            with private_directory() as place:
                os.symlink(place.path, "run", dir_fd=data.descriptor)
                yield place
    finally:
        remove(data)


@contextmanager
def private_directory() -> Iterator[Directory]:
    """A new directory in the temporary one, whose sticky bit keeps others from replacing it."""
    path = Path(tempfile.mkdtemp(prefix="tandem-", dir=short_temp()))
    descriptor = os.open(path, OPEN_DIRECTORY)
    try:
        yield Directory(path=path, descriptor=descriptor)
    finally:
        os.close(descriptor)


def addressable(run: Path) -> bool:
    """Short enough for a socket, and without a comma, which separates hosts in a database URL."""
    return len(os.fsencode(run / ".s.PGSQL.5432")) <= LONGEST_PATH and "," not in str(run)


def remove(data: Directory) -> None:
    """Removes `run`; where it is a link, also the directory that it leads to, if that is surely ours."""
    place = data.link("run")
    if place is not None and is_ours(place, data):
        shutil.rmtree(place, ignore_errors=True)
    data.remove("run")


def is_ours(place: Path, data: Directory) -> bool:
    """True for a directory of `private_directory`. Another user may have written another link."""
    named = place.name.startswith("tandem-") and place.parent == short_temp()
    return named and (data.owner == os.geteuid() or owner_of(place) == data.owner)


def owner_of(place: Path) -> int | None:
    try:
        return place.lstat().st_uid
    except OSError:
        return None


def short_temp() -> Path:
    """The temporary directory, unless its own path is too long for a socket below it."""
    place = Path(tempfile.gettempdir())
    return place if len(os.fsencode(place)) < LONGEST_PATH - 40 else Path("/tmp")  # noqa: S108
