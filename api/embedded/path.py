"""Opens the path of the data directory, and creates what is missing of it.

Root resolves the path itself, one component after the other through descriptors: a user who may
replace a component of the path could otherwise make root work in any directory of the machine. Each
component, symbolic links included, has to belong to root or to the owner of the data directory, and
may be writable for all users only with the sticky bit, as /tmp is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from api.embedded.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LIMIT_LINKS = 40
"""The number of symbolic links that Linux follows in one path."""


@contextmanager
def opened_path(path: Path) -> Iterator[int]:
    """Yields a descriptor of the directory. Raises OSError, and EmbeddedError for an unsafe path."""
    if os.geteuid() == 0:
        descriptor = _Resolution(path).run()
    else:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Resolution:
    """The resolution of one path by root."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = deque(path.parts[1:])
        self._links = 0
        self._here = os.open("/", OPEN_DIRECTORY)
        self._shown = Path("/")
        self._administrators = {0, os.fstat(self._here).st_uid}
        self._other: tuple[int, Path] | None = None
        """The first owner in the path who is no administrator, and where that was."""

    def run(self) -> int:
        with ExitStack() as stack:
            stack.callback(lambda: os.close(self._here))
            while self._rest:
                self._step(self._rest.popleft())
            owner = os.fstat(self._here).st_uid
            if self._other is not None and self._other[0] != owner:
                raise self._belongs_to_another(*self._other)
            stack.pop_all()
        return self._here

    def _step(self, name: str) -> None:
        try:
            found = os.stat(name, dir_fd=self._here, follow_symlinks=False)
        except FileNotFoundError:
            self._create(name)
            return
        if stat.S_ISLNK(found.st_mode):
            self._check(found, self._shown / name)
            self._follow(os.readlink(name, dir_fd=self._here))
        else:
            self._enter(name)

    def _enter(self, name: str) -> None:
        try:
            below = os.open(name, OPEN_DIRECTORY, dir_fd=self._here)
        except NotADirectoryError:
            if self._rest:
                raise
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None  # as mkdir
        os.close(self._here)
        self._here = below
        self._shown = self._shown / name if name != ".." else self._shown.parent
        self._check(os.fstat(below), self._shown)

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > LIMIT_LINKS:
            raise EmbeddedError(
                f"The path {self._path} has more than {LIMIT_LINKS} symbolic links: set DATA_DIR to"
                " a path that leads to a directory."
            )
        parts = Path(target).parts
        if target.startswith("/"):
            os.close(self._here)
            self._here, self._shown, parts = os.open("/", OPEN_DIRECTORY), Path("/"), parts[1:]
        self._rest.extendleft(reversed(parts))

    def _create(self, name: str) -> None:
        """Creates a directory for the owner of the one that it is in.

        The owner of that directory may have replaced the new one by now, so it changes the owner of
        an empty directory at most.
        """
        os.mkdir(name, 0o755 if self._rest else 0o700, dir_fd=self._here)
        above = os.fstat(self._here).st_uid
        self._enter(name)
        if above not in self._administrators and not os.listdir(self._here):
            os.fchown(self._here, above, -1)

    def _check(self, found: os.stat_result, shown: Path) -> None:
        anyone_may_write = not stat.S_ISLNK(found.st_mode) and found.st_mode & stat.S_IWOTH
        if anyone_may_write and not found.st_mode & stat.S_ISVTX:
            raise EmbeddedError(
                f"Every user may replace what is in {shown}: remove that permission (chmod o-w"
                f" {shown}), or set DATA_DIR to another directory."
            )
        if found.st_uid not in self._administrators:
            self._other = self._other or (found.st_uid, shown)
            if found.st_uid != self._other[0]:
                raise self._belongs_to_another(found.st_uid, shown)

    def _belongs_to_another(self, uid: int, shown: Path) -> EmbeddedError:
        return EmbeddedError(
            f"{shown} belongs to user {uid}, who could replace the data directory {self._path}: give"
            " the data directory to that user, or set DATA_DIR to another directory."
        )
