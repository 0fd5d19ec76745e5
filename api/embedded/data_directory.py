"""Opens what is in the data directory, through descriptors and never through a symbolic link.

When root starts Tandem on a data directory of another user, that user can put a link, a FIFO or a
device in the place of any file, at any moment. So each name is looked up once, in its open directory;
what was opened is checked on its descriptor and changed through it; and only what was created here,
or belongs to the owner of the data directory or to this user already, is changed at all.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.embedded.errors import EmbeddedError
from api.embedded.path import OPEN_DIRECTORY, opened_path

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Without O_NONBLOCK the opening of a FIFO waits for another process."""
REMEDY = "move it away, or set DATA_DIR to another directory"


@dataclass(frozen=True, kw_only=True)
class Directory:
    """An open directory."""

    path: Path
    """For messages, and for the command lines of the stores."""
    descriptor: int

    @property
    def owner(self) -> int:
        return os.fstat(self.descriptor).st_uid

    @contextmanager
    def opened(self, name: str, flags: int = os.O_RDWR) -> Iterator[int]:
        """Yields the descriptor of a regular file, which is created when missing."""
        descriptor = self.open(name, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open(self, name: str, flags: int) -> int:
        """Opens a regular file of the owner, mode 0600 when it is created. Raises EmbeddedError."""
        with self._named(name):
            try:
                descriptor = self._created(name, flags)
            except FileExistsError:
                descriptor = os.open(name, flags | OPEN_FILE, dir_fd=self.descriptor)
            with _closed_on_error(descriptor):
                self._check(os.fstat(descriptor), self.path / name)
                os.set_blocking(descriptor, True)
            return descriptor

    def _created(self, name: str, flags: int) -> int:
        only_new = flags | OPEN_FILE | os.O_CREAT | os.O_EXCL
        descriptor = os.open(name, only_new, 0o600, dir_fd=self.descriptor)
        with _closed_on_error(descriptor):
            self._give_away(descriptor)
        return descriptor

    def read(self, name: str, last: int = 65_536) -> str | None:
        """Returns the last bytes of a regular file as text, or None when there is no such file."""
        try:
            descriptor = os.open(name, os.O_RDONLY | OPEN_FILE, dir_fd=self.descriptor)
        except OSError:
            return None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                return None
            return os.pread(descriptor, last, max(0, found.st_size - last)).decode(errors="replace")
        finally:
            os.close(descriptor)

    @contextmanager
    def entered(self, name: str) -> Iterator[Directory]:
        """Yields a directory in this one, which must exist. Its owner is not checked."""
        with self._named(name):
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=self.descriptor)
        try:
            yield Directory(path=self.path / name, descriptor=descriptor)
        finally:
            os.close(descriptor)

    def make(self, name: str, *, exist_ok: bool = False) -> None:
        """Makes a directory for the owner of this one, mode 0700."""
        with self._named(name):
            try:
                os.mkdir(name, 0o700, dir_fd=self.descriptor)
            except FileExistsError:
                if exist_ok:
                    return
                raise
            descriptor = os.open(name, OPEN_DIRECTORY, dir_fd=self.descriptor)
            try:
                if not os.listdir(descriptor):  # else it was replaced meanwhile
                    self._give_away(descriptor)
            finally:
                os.close(descriptor)

    def rename(self, name: str, new: str) -> None:
        with self._named(new):
            os.rename(name, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Removes a file, a link (never what it leads to) or a whole directory, if there is one.

        In a directory of another user that user could rename, but not empty, a directory of this one.
        """
        with self._named(name), suppress(FileNotFoundError):
            found = self._stat(name)
            if stat.S_ISDIR(found.st_mode):
                if self.owner != os.geteuid():
                    self._check_owner(found, self.path / name, {self.owner})
                shutil.rmtree(name, dir_fd=self.descriptor)
            else:
                os.unlink(name, dir_fd=self.descriptor)

    def link(self, name: str) -> Path | None:
        """Returns where a symbolic link leads to, or None when there is no link of that name."""
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

    def _give_away(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_uid != self.owner:
            os.fchown(descriptor, self.owner, -1)

    def _check(self, found: os.stat_result, path: Path) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise EmbeddedError(f"{path} is not a regular file: {REMEDY}.")
        if found.st_nlink != 1:
            raise EmbeddedError(
                f"{path} has a second name (a hard link), so another file would change with it:"
                f" {REMEDY}."
            )
        self._check_owner(found, path, {self.owner, os.geteuid()})

    def _check_owner(self, found: os.stat_result, path: Path, owners: set[int]) -> None:
        if found.st_uid not in owners:
            raise EmbeddedError(
                f"{path} belongs to user {found.st_uid}, and the directory that it is in to user"
                f" {self.owner}: give it to that user, or {REMEDY}."
            )

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Turns an OSError about a member into one sentence that names it."""
        try:
            yield
        except OSError as error:
            raise EmbeddedError(
                f"{self.path / name} cannot be used ({self._reason(name, error)}): {REMEDY}."
            ) from error

    def _reason(self, name: str, error: OSError) -> str:
        """O_NOFOLLOW fails with ELOOP or ENOTDIR, neither of which says that there is a link."""
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
    """Yields the data directory, which is made when missing. Raises EmbeddedError."""
    place = Path(path).absolute()
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(opened_path(place))
        except OSError as error:
            raise EmbeddedError(
                f"The data directory {path} cannot be used ({error.strerror}): set DATA_DIR to one"
                " that this user may write."
            ) from error
        yield Directory(path=place, descriptor=descriptor)
