"""Runs a command as a root who may not make user namespaces, as in many containers.

    python -m tests.without_user_namespaces COMMAND...

It maps all users into a user namespace of its own, forbids further ones inside, and execs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from api.embedded.child import CLONE_NEWUSER, call


def main(command: list[str]) -> int:
    entered, mapped = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        call("unshare", CLONE_NEWUSER)
        os.write(entered[1], b"x")
        os.read(mapped[0], 1)
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        os.execv(command[0], command)
    os.read(entered[0], 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text("0 0 65536")
    os.write(mapped[1], b"x")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
