"""Opens the path of the data directory, and creates its missing directories.

As root, the path is resolved here, component by component through descriptors: a user who may replace a
component could otherwise make root use any directory of the machine. Each
component, symbolic links included, has to belong to root or to the owner of the data directory, and
may be writable for all users only with the sticky bit, as /tmp is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from api.operator_error import OperatorError

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_LINKS = 40
"""Number of symbolic links that Linux follows in one path."""


@contextmanager
def opened_path(path: Path) -> Iterator[int]:
    """Yields the descriptor of the directory. Raises OSError, and OperatorError for an unsafe path."""
    if os.geteuid() == 0:
        descriptor = _Resolution(path).run()
    else:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with closing(descriptor):
        yield descriptor


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Yields an open descriptor, and closes it."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Resolution:
    """The resolution of one path as root."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = deque(path.parts[1:])
        self._links = 0
        self._descriptor = os.open("/", OPEN_DIRECTORY)
        self._resolved = Path("/")
        self._administrators = {0, os.fstat(self._descriptor).st_uid}
        self._other: tuple[int, Path] | None = None
        """The first owner in the path other than an administrator, and the directory."""

    def run(self) -> int:
        with ExitStack() as stack:
            stack.callback(lambda: os.close(self._descriptor))
            while self._rest:
                self._step(self._rest.popleft())
            owner = os.fstat(self._descriptor).st_uid
            if self._other is not None and self._other[0] != owner:
                raise self._belongs_to_another(*self._other)
            stack.pop_all()
        return self._descriptor

    def _step(self, name: str) -> None:
        try:
            status = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            self._create(name)
            return
        if stat.S_ISLNK(status.st_mode):
            self._check(status, self._resolved / name)
            self._follow(os.readlink(name, dir_fd=self._descriptor))
        else:
            self._enter(name)

    def _enter(self, name: str) -> None:
        try:
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=self._descriptor)
        except NotADirectoryError:
            if self._rest:
                raise
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None  # as mkdir
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._resolved = self._resolved / name if name != ".." else self._resolved.parent
        self._check(os.fstat(descriptor), self._resolved)

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > MAX_LINKS:
            raise OperatorError(
                f"The path {self._path} has more than {MAX_LINKS} symbolic links: set DATA_DIR to"
                " a path that leads to a directory."
            )
        parts = Path(target).parts
        if target.startswith("/"):
            os.close(self._descriptor)
            self._descriptor, self._resolved, parts = (
                os.open("/", OPEN_DIRECTORY),
                Path("/"),
                parts[1:],
            )
        self._rest.extendleft(reversed(parts))

    def _create(self, name: str) -> None:
        """Creates a directory that belongs to the owner of its parent.

        The owner of the parent may already have replaced it, so the owner of an empty directory is changed
        at most.
        """
        os.mkdir(name, 0o755 if self._rest else 0o700, dir_fd=self._descriptor)
        parent_owner = os.fstat(self._descriptor).st_uid
        self._enter(name)
        if parent_owner not in self._administrators and not os.listdir(self._descriptor):
            os.fchown(self._descriptor, parent_owner, -1)

    def _check(self, status: os.stat_result, path: Path) -> None:
        is_world_writable = not stat.S_ISLNK(status.st_mode) and status.st_mode & stat.S_IWOTH
        if is_world_writable and not status.st_mode & stat.S_ISVTX:
            raise OperatorError(
                f"Every user may replace what is in {path}: remove that permission (chmod o-w"
                f" {path}), or set DATA_DIR to another directory."
            )
        if status.st_uid not in self._administrators:
            self._other = self._other or (status.st_uid, path)
            if status.st_uid != self._other[0]:
                raise self._belongs_to_another(status.st_uid, path)

    def _belongs_to_another(self, uid: int, path: Path) -> OperatorError:
        return OperatorError(
            f"{path} belongs to user {uid}, who could replace the data directory {self._path}: give"
            " the data directory to that user, or set DATA_DIR to another directory."
        )
