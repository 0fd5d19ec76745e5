"""As whom the stores run: PostgreSQL refuses root, for good reason, so root becomes another."""

from __future__ import annotations

import asyncio
import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.embedded.errors import EmbeddedError
from api.embedded.spawn import child_command

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Identity:
    argument: str
    """What `api.embedded.child` understands."""
    owner: int
    """The user id that the stores' files have outside."""


async def choose_identity(data_dir: Path) -> Identity:
    """Ourselves, or, when we are root, the first user that this machine lets us become."""
    if os.geteuid() != 0:
        return Identity(argument="same", owner=os.geteuid())
    owner = data_dir.stat().st_uid  # noqa: ASYNC240
    for identity in candidates(owner):
        if await possible(identity):
            return identity
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and root cannot become another user here: allow user"
        " namespaces or setuid, or start Tandem as an unprivileged user."
    )


def candidates(owner: int) -> list[Identity]:
    """The owner of the data directory; else a user namespace, where files stay root's own and no
    other user needs a way to them; else nobody. initdb wants each to have a name.
    """
    others = [entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0]
    nobody = [entry.pw_uid for entry in pwd.getpwall() if entry.pw_name == "nobody"]
    return [
        *(as_user(uid) for uid in others if uid == owner),
        *(Identity(argument=f"namespace:{uid}", owner=0) for uid in others[:1]),
        *(as_user(uid) for uid in (nobody or others)[:1]),
    ]


def as_user(uid: int) -> Identity:
    return Identity(argument=f"user:{uid}", owner=uid)


async def possible(identity: Identity) -> bool:
    process = await asyncio.create_subprocess_exec(
        *child_command(identity=identity.argument),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


def give(directory: Path, owner: int) -> None:
    """Make `directory` and what is in it the owner's. Root without user namespaces needs that."""
    if directory.stat().st_uid == owner:
        return
    for folder, _, files in os.walk(directory):
        for path in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(path, owner, -1, follow_symlinks=False)


def let_through(data_dir: Path, identity: Identity) -> None:
    """Let a user who is not the data directory's owner pass into his own directories below it."""
    found = data_dir.stat()
    if found.st_uid != identity.owner:
        data_dir.chmod(found.st_mode | 0o011)
