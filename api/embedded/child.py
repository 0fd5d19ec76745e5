"""The last step before a store's own program: run as a script in the new process, then exec.

It ties the store's life to its parent's and, for PostgreSQL started by root, gives up root. Both
happen here and not in a preexec function: that would run Python between fork and exec of a process
that has threads. It imports the standard library alone, so that it starts in some 15 ms.

    child.py PARENT_PID DEATH_SIGNAL IDENTITY REACH -- COMMAND...

IDENTITY is `same`, `user:UID`, `namespace:UID` (a user namespace that maps this user to UID) or
`namespace:UID:OWNER` (the same for OWNER, whom root becomes first). REACH is a directory that the
program must be able to enter. Without a command it only tries the identity.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import sys
from pathlib import Path

CANNOT_BECOME = 71
CANNOT_REACH = 72

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
NO_GROUP = 65534


def become(identity: str) -> None:
    """Give up root as `identity` says. Raises OSError when this machine does not allow it."""
    kind, *numbers = identity.split(":")
    uids = [int(number) for number in numbers]
    if kind == "user" or len(uids) == 2:
        become_user(uids[-1])
    if kind == "namespace":
        enter_user_namespace(uids[0])


def become_user(uid: int) -> None:
    """Takes the user's own group, because a group of the same number may be one with rights."""
    try:
        group = pwd.getpwuid(uid).pw_gid
    except KeyError:
        group = NO_GROUP
    os.setgroups([])
    os.setgid(group)
    os.setuid(uid)


def enter_user_namespace(uid: int) -> None:
    """Be `uid` in here and still root's own user outside: files keep owner and mode."""
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)  # else the maps are root's after a change of user
    call("unshare", CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outside_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{uid} {outside_gid} 1")


def die_with(parent: int, signal: int) -> None:
    """Ask Linux for `signal` at the parent's death. Last, because a change of user forgets it."""
    if sys.platform == "linux":
        call("prctl", PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("The parent was gone before this process began.")


def call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    function = getattr(libc, name, None)
    if function is None:
        raise OSError(f"this system has no {name}")
    if function(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def reaches(directory: str, program: str) -> bool:
    with contextlib.suppress(OSError):
        os.chdir(directory)
        return os.access(program, os.X_OK)
    return False


def main(arguments: list[str]) -> int:
    parent, signal, identity, directory, _, *command = arguments
    try:
        become(identity)
    except OSError as error:
        print(f"No other user can be taken: {error}.", file=sys.stderr)  # noqa: T201
        return CANNOT_BECOME
    if not command:
        return 0
    if not reaches(directory, command[0]):
        return CANNOT_REACH
    die_with(int(parent), int(signal))
    return os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
