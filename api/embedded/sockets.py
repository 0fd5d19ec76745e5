"""The directory of the stores' unix sockets, which only their owner may enter."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.embedded.data_directory import Directory
from api.embedded.path import OPEN_DIRECTORY, closing

MAX_PATH_BYTES = 100
"""The path of a socket may have 107 bytes on Linux and 103 on macOS."""


@contextmanager
def socket_directory(data: Directory) -> Iterator[Directory]:
    """Yields `run` in the data directory, or a private directory that `run` links to if its path is too long.

    The directory is always new: PostgreSQL may have left a lock file there with a process id that belongs
    to another process by now.
    """
    remove(data)
    try:
        if addressable(data.path / "run"):
            data.make("run")
            with data.entered("run") as directory:
                yield directory
        else:
            with private_directory() as directory:
                os.symlink(directory.path, "run", dir_fd=data.descriptor)
                yield directory
    finally:
        remove(data)


@contextmanager
def private_directory() -> Iterator[Directory]:
    """Yields a new directory in the temporary one, whose sticky bit keeps other users from replacing it."""
    path = Path(tempfile.mkdtemp(prefix="tandem-", dir=short_temp()))
    with closing(os.open(path, OPEN_DIRECTORY)) as descriptor:
        yield Directory(path=path, descriptor=descriptor)


def addressable(run: Path) -> bool:
    """True for a path short enough for a socket, and without a comma, which separates hosts in a URL."""
    return len(os.fsencode(run / ".s.PGSQL.5432")) <= MAX_PATH_BYTES and "," not in str(run)


def remove(data: Directory) -> None:
    """Removes `run`; if it is a link, also its target, provided that `private_directory` created it."""
    target = data.link("run")
    if target is not None and is_private_directory(target, data):
        shutil.rmtree(target, ignore_errors=True)
    data.remove("run")


def is_private_directory(path: Path, data: Directory) -> bool:
    """True for a directory of `private_directory`: another user may have made a link to another directory."""
    named = path.name.startswith("tandem-") and path.parent == short_temp()
    return named and (data.owner == os.geteuid() or owner_of(path) == data.owner)


def owner_of(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def short_temp() -> Path:
    """Returns the temporary directory, or /tmp if its path is too long for a socket in it."""
    path = Path(tempfile.gettempdir())
    return path if len(os.fsencode(path)) < MAX_PATH_BYTES - 40 else Path("/tmp")  # noqa: S108
