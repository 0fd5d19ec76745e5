"""Chooses the user that the stores run as. PostgreSQL refuses root, so root changes to another user."""

from __future__ import annotations

import asyncio
import os
import pwd
from dataclasses import dataclass

from api.embedded.child_process import child_command, store_environment
from api.embedded.data_directory import Directory
from api.operator_error import OperatorError

UNPRIVILEGED = (65534, 2**32 - 2)
"""User ids without any privileges, on Linux and on macOS."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The user of a store's process."""

    argument: str
    """IDENTITY of child.py."""
    owner: int
    """Owner of the store's files, as seen outside a user namespace."""


async def choose_identity(owner: int) -> Identity:
    """Returns the current user, or for root the first user that this machine lets it change to.

    `owner` is the owner of the data directory. Raises OperatorError.
    """
    if os.geteuid() != 0:
        return Identity(argument="same", owner=os.geteuid())
    for identity in candidates(owner):
        if await is_possible(identity):
            return identity
    raise OperatorError(
        "PostgreSQL refuses to run as root, and root cannot become"
        f" {'another user' if owner == 0 else f'user {owner}, who owns the data directory,'} here:"
        " allow user namespaces or setuid, or start Tandem as an unprivileged user."
    )


def candidates(owner: int) -> list[Identity]:
    """Returns the identities that root tries, in this order.

    In a data directory of another user stores have the privileges of that user and never more, because
    that user can replace files by links. In root's own they run in a user namespace, where root keeps its
    files, or else as the system's unprivileged user. initdb requires that the user has a name.
    """
    users = [entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0]
    if owner in users:
        return [as_user(owner)]
    inside = users[:1]
    unprivileged = [uid for uid in users if uid in UNPRIVILEGED]
    if owner != 0:
        return [Identity(argument=f"namespace:{uid}:{owner}", owner=owner) for uid in inside]
    return [
        *(Identity(argument=f"namespace:{uid}", owner=0) for uid in inside),
        *(as_user(uid) for uid in unprivileged or inside),
    ]


def as_user(uid: int) -> Identity:
    return Identity(argument=f"user:{uid}", owner=uid)


async def is_possible(identity: Identity) -> bool:
    process = await asyncio.create_subprocess_exec(
        *child_command(identity=identity.argument),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=store_environment(),
    )
    return await process.wait() == 0


def allow_traversal(data: Directory, identity: Identity) -> None:
    """Lets a user other than the owner of the data directory reach the stores' directories in it."""
    status = os.fstat(data.descriptor)
    if status.st_uid != identity.owner and status.st_mode & 0o011 != 0o011:
        os.fchmod(data.descriptor, status.st_mode & 0o7777 | 0o011)
