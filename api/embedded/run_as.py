"""Chooses the user that the stores run as. PostgreSQL refuses root, so root becomes another user."""

from __future__ import annotations

import asyncio
import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.embedded.child_process import child_command, environment
from api.embedded.errors import EmbeddedError

if TYPE_CHECKING:
    from api.embedded.data_directory import Directory


@dataclass(frozen=True, kw_only=True)
class Identity:
    argument: str
    """What `api.embedded.child` understands."""
    owner: int
    """The user id that the stores' files have outside."""


async def choose_identity(owner: int) -> Identity:
    """Returns this user, or for root the first user that this machine lets it become.

    `owner` is the owner of the data directory. Raises EmbeddedError.
    """
    if os.geteuid() != 0:
        return Identity(argument="same", owner=os.geteuid())
    for identity in candidates(owner):
        if await possible(identity):
            return identity
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and root cannot become"
        f" {'another user' if owner == 0 else f'user {owner}, who owns the data directory,'} here:"
        " allow user namespaces or setuid, or start Tandem as an unprivileged user."
    )


def candidates(owner: int) -> list[Identity]:
    """Returns the identities to try, for root, in their order.

    In a data directory of another user stores have the rights of that user and never more: what
    they open there by name may lead anywhere. In root's own they run in a user namespace, where
    files stay root's, or else as the user nobody. initdb wants each to have a name.
    """
    named = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0}
    nobody = [uid for uid, name in named.items() if name == "nobody"]
    if owner in named:
        return [as_user(owner)]
    inside = list(named)[:1]
    if owner != 0:
        return [Identity(argument=f"namespace:{uid}:{owner}", owner=owner) for uid in inside]
    return [
        *(Identity(argument=f"namespace:{uid}", owner=0) for uid in inside),
        *(as_user(uid) for uid in nobody or inside),
    ]


def as_user(uid: int) -> Identity:
    return Identity(argument=f"user:{uid}", owner=uid)


async def possible(identity: Identity) -> bool:
    process = await asyncio.create_subprocess_exec(
        *child_command(identity=identity.argument),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(),
    )
    return await process.wait() == 0


def let_through(data: Directory, identity: Identity) -> None:
    """Lets a user who is not the owner of the data directory pass into the stores' directories."""
    found = os.fstat(data.descriptor)
    if found.st_uid != identity.owner and found.st_mode & 0o011 != 0o011:
        os.fchmod(data.descriptor, found.st_mode & 0o7777 | 0o011)
