"""A Unix socket to listen on (HOST=unix:/path): its permissions, and stale files of dead servers."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_UMASK: Final = 0o117
"""The owner and the group may connect; it is the group of the directory if that has the setgid bit."""


class UnixListener(socket.socket):
    """A listening Unix socket whose file this process has made; that of an inherited one is another's."""

    _inode = 0

    @classmethod
    def bind_to(cls, path: str) -> UnixListener:
        """Returns a socket that listens; connections wait until it is served. Raises OSError.

        Replaces the file of a server that has died, but never that of one that listens, nor another file.
        """
        listener = cls(socket.AF_UNIX)
        try:
            with _locked_directory(path):
                _remove_stale(path)
                umask = os.umask(_UMASK)
                try:
                    listener.bind(path)
                finally:
                    os.umask(umask)
                listener._inode = os.lstat(path).st_ino
                listener.listen()  # before the lock is released: otherwise it would look stale
        except OSError:
            listener.close()
            raise
        return listener

    def remove_file(self) -> None:
        """Removes the file if it is still that of this socket, so that a successor can listen at once.

        Does nothing once the socket is closed: only while it is open, no other file can have its inode.
        """
        if self.fileno() == -1:
            return
        path: str = self.getsockname()
        with suppress(FileNotFoundError), _locked_directory(path):
            if os.lstat(path).st_ino == self._inode:
                os.unlink(path)


@contextmanager
def _locked_directory(path: str) -> Iterator[None]:
    """Locks the directory of the path, so that two starting processes do not replace each other's files."""
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _remove_stale(path: str) -> None:
    """Removes the file of a socket on which no process listens. Raises OSError if it is something else."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "The file is not a socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)  # a server that accepts no connection now would block it
            error = probe.connect_ex(path)
        if error == errno.ECONNREFUSED:
            os.unlink(path)
            return
        if error in (0, errno.EAGAIN):
            error = errno.EADDRINUSE
        raise OSError(error, os.strerror(error))
