"""Launcher script of a child process: sets the parent-death signal, drops root privileges, then execs.

PostgreSQL refuses to run as root. Both steps happen in this script and not in a preexec function,
which would run Python between fork and exec of a process that has threads. It imports the standard
library only, so that it starts in about 15 ms.

    child.py PARENT_PID DEATH_SIGNAL IDENTITY REACH -- COMMAND...

IDENTITY is `same`, `user:UID`, `namespace:UID` (a user namespace that maps the current user to UID)
or `namespace:UID:OWNER` (root changes to OWNER first). REACH is a directory that the program must be
able to enter. Without a command the script only tries the identity.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import sys
from pathlib import Path

CANNOT_DROP_PRIVILEGES = 71
CANNOT_REACH = 72

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
NO_GROUP = 65534


def drop_privileges(identity: str) -> None:
    """Changes the user as `identity` says. Raises OSError if this machine does not allow it."""
    kind, *numbers = identity.split(":")
    uids = [int(number) for number in numbers]
    if kind == "user" or len(uids) == 2:
        set_user(uids[-1])
    if kind == "namespace":
        enter_user_namespace(uids[0])


def set_user(uid: int) -> None:
    """Changes to the user and its own group; a group with the user's number may have privileges."""
    try:
        group = pwd.getpwuid(uid).pw_gid
    except KeyError:
        group = NO_GROUP
    os.setgroups([])
    os.setgid(group)
    os.setuid(uid)


def enter_user_namespace(uid: int) -> None:
    """Maps `uid` to the current user, who outside the namespace keeps the owner and mode of files."""
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    call(
        "prctl", PR_SET_DUMPABLE, 1, 0, 0, 0
    )  # otherwise root owns the maps after a change of user
    call("unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{uid} {outside_gid} 1")


def set_parent_death_signal(parent: int, signal: int) -> None:
    """Has Linux send `signal` when the parent dies. A change of user resets it, so this comes last."""
    if sys.platform == "linux":
        call("prctl", PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("The parent process ended before this one started.")


def call(name: str, *arguments: int) -> None:
    """Calls a function of libc. Raises OSError if it fails or does not exist."""
    libc = ctypes.CDLL(None, use_errno=True)
    function = getattr(libc, name, None)
    if function is None:
        raise OSError(f"this system has no {name}")
    if function(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def can_reach(directory: str, program: str) -> bool:
    with contextlib.suppress(OSError):
        os.chdir(directory)
        return os.access(program, os.X_OK)
    return False


def main(arguments: list[str]) -> int:
    parent, signal, identity, directory, _, *command = arguments
    try:
        drop_privileges(identity)
    except OSError as error:
        print(f"Cannot change to another user: {error}.", file=sys.stderr)  # noqa: T201
        return CANNOT_DROP_PRIVILEGES
    if not command:
        return 0
    if not can_reach(directory, command[0]):
        return CANNOT_REACH
    set_parent_death_signal(int(parent), int(signal))
    return os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
