"""A listening socket that another process has passed (HOST=fd:3), as systemd's socket activation does.

systemd names the process in LISTEN_PID, and the number of its descriptors, from 3 on, in LISTEN_FDS. Other
parent processes set neither.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

_FIRST_DESCRIPTOR: Final = 3


def inherited_listener(descriptor: int) -> socket.socket:
    """Returns the socket. Raises OSError if it is not open, or was passed to another process.

    Removes systemd's variables, which are about this process, from the environment of its children.
    """
    pid = os.environ.pop("LISTEN_PID", None)
    number = os.environ.pop("LISTEN_FDS", "")
    if pid is not None and pid != str(os.getpid()):
        raise OSError(errno.EBADF, f"LISTEN_PID={pid} is another process")
    if pid is not None and number.isdecimal() and descriptor >= _FIRST_DESCRIPTOR + int(number):
        raise OSError(errno.EBADF, f"LISTEN_FDS={number} descriptors were passed, from 3 on")
    listener = socket.socket(fileno=descriptor)
    listener.set_inheritable(False)
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.close()
        raise OSError(errno.EINVAL, "The descriptor is not a listening socket")
    return listener
