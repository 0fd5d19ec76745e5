"""File operations in the data directory, through descriptors and never through a symbolic link.

If root starts Tandem on a data directory of another user, that user can replace any file by a link, a
FIFO or a device at any moment. So each name is resolved once, in its open directory; an opened file is
checked and changed through its descriptor; and only files that were created here, or belong to the owner
of the data directory or to the current user already, are changed at all.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from api.embedded.path import OPEN_DIRECTORY, closing, opened_path
from api.operator_error import OperatorError

OPEN_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Without O_NONBLOCK, opening a FIFO waits for another process."""
REMEDY = "move it away, or set DATA_DIR to another directory"


@dataclass(frozen=True, kw_only=True)
class Directory:
    """An open directory."""

    path: Path
    """Used in messages and in the command lines of the stores."""
    descriptor: int

    @property
    def owner(self) -> int:
        return os.fstat(self.descriptor).st_uid

    @contextmanager
    def opened(self, name: str, flags: int = os.O_RDWR) -> Iterator[int]:
        """Yields the descriptor of a regular file, which is created if missing."""
        with closing(self.open(name, flags)) as descriptor:
            yield descriptor

    def open(self, name: str, flags: int) -> int:
        """Opens a regular file, created with mode 0600 for the owner if missing. Raises OperatorError."""
        with self._errors_of(name):
            try:
                descriptor = self._create(name, flags)
            except FileExistsError:
                descriptor = os.open(name, flags | OPEN_FILE, dir_fd=self.descriptor)
            with _closed_on_error(descriptor):
                self._check(os.fstat(descriptor), self.path / name)
                os.set_blocking(descriptor, True)
            return descriptor

    def _create(self, name: str, flags: int) -> int:
        exclusive = flags | OPEN_FILE | os.O_CREAT | os.O_EXCL
        descriptor = os.open(name, exclusive, 0o600, dir_fd=self.descriptor)
        with _closed_on_error(descriptor):
            self._give_to_owner(descriptor)
        return descriptor

    def read(self, name: str, max_bytes: int = 65_536) -> str | None:
        """Returns the end of a regular file as text, or None if the file is missing."""
        try:
            descriptor = os.open(name, os.O_RDONLY | OPEN_FILE, dir_fd=self.descriptor)
        except OSError:
            return None
        with closing(descriptor):
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            offset = max(0, status.st_size - max_bytes)
            return os.pread(descriptor, max_bytes, offset).decode(errors="replace")

    @contextmanager
    def entered(self, name: str) -> Iterator[Directory]:
        """Yields an existing directory in this one. Its owner is not checked."""
        with self._errors_of(name):
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=self.descriptor)
        with closing(descriptor):
            yield Directory(path=self.path / name, descriptor=descriptor)

    def make(self, name: str, *, exist_ok: bool = False) -> None:
        """Creates a directory with mode 0700 for the owner of this one."""
        with self._errors_of(name):
            try:
                os.mkdir(name, 0o700, dir_fd=self.descriptor)
            except FileExistsError:
                if exist_ok:
                    return
                raise
            with closing(os.open(name, OPEN_DIRECTORY, dir_fd=self.descriptor)) as descriptor:
                if not os.listdir(descriptor):  # otherwise it has been replaced
                    self._give_to_owner(descriptor)

    def rename(self, name: str, new: str) -> None:
        with self._errors_of(new):
            os.rename(name, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Removes a file, a link (never its target) or a whole directory, if there is one.

        In a data directory of another user, only directories of that user are removed: the user could have
        renamed, but not emptied, a directory of root.
        """
        with self._errors_of(name), suppress(FileNotFoundError):
            status = self._stat(name)
            if stat.S_ISDIR(status.st_mode):
                if self.owner != os.geteuid():
                    self._check_owner(status, self.path / name, {self.owner})
                shutil.rmtree(name, dir_fd=self.descriptor)
            else:
                os.unlink(name, dir_fd=self.descriptor)

    def link(self, name: str) -> Path | None:
        """Returns the target of a symbolic link, or None if there is no link of that name."""
        with suppress(OSError):
            return Path(os.readlink(name, dir_fd=self.descriptor))
        return None

    def holds(self, name: str) -> bool:
        with suppress(FileNotFoundError):
            self._stat(name)
            return True
        return False

    def _stat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def _give_to_owner(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_uid != self.owner:
            os.fchown(descriptor, self.owner, -1)

    def _check(self, status: os.stat_result, path: Path) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise OperatorError(f"{path} is not a regular file: {REMEDY}.")
        if status.st_nlink != 1:
            raise OperatorError(
                f"{path} has a second name (a hard link), so another file would change with it:"
                f" {REMEDY}."
            )
        self._check_owner(status, path, {self.owner, os.geteuid()})

    def _check_owner(self, status: os.stat_result, path: Path, owners: set[int]) -> None:
        if status.st_uid not in owners:
            raise OperatorError(
                f"{path} belongs to user {status.st_uid}, and the directory that it is in to user"
                f" {self.owner}: give it to that user, or {REMEDY}."
            )

    @contextmanager
    def _errors_of(self, name: str) -> Iterator[None]:
        """Turns an OSError about a member into an OperatorError that names it."""
        try:
            yield
        except OSError as error:
            raise OperatorError(
                f"{self.path / name} cannot be used ({self._reason(name, error)}): {REMEDY}."
            ) from error

    def _reason(self, name: str, error: OSError) -> str:
        """Explains ELOOP and ENOTDIR, with which O_NOFOLLOW fails at a link."""
        if self.link(name) is not None:
            return "it is a symbolic link, which is not followed"
        return error.strerror or type(error).__name__


@contextmanager
def _closed_on_error(descriptor: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def opened_directory(path: Path) -> Iterator[Directory]:
    """Yields the data directory, which is created if missing. Raises OperatorError."""
    absolute = Path(path).absolute()
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(opened_path(absolute))
        except OSError as error:
            raise OperatorError(
                f"The data directory {path} cannot be used ({error.strerror}): set DATA_DIR to one"
                " that this user may write."
            ) from error
        yield Directory(path=absolute, descriptor=descriptor)
