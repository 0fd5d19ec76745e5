"""As whom PostgreSQL runs: it refuses root, for good reason, so root must become somebody else."""

from __future__ import annotations

import asyncio
import os
import pwd

from api.embedded.errors import EmbeddedError
from api.embedded.spawn import child_command

SAME = "same"


async def postgres_identity() -> str:
    """An identity of `api.embedded.child`. Asks this machine what it allows when we are root."""
    if os.geteuid() != 0:
        return SAME
    for identity in candidates():
        if await possible(identity):
            return identity
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and root cannot become another user here: allow user"
        " namespaces or setuid, or start Tandem as an unprivileged user."
    )


def candidates() -> list[str]:
    """A user namespace first: the files stay root's own, and no other user needs a way to them.

    The user must have a name, because initdb looks it up.
    """
    others = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    nobody = [entry for entry in others if entry.pw_name == "nobody"] or others
    return [f"namespace:{entry.pw_uid}" for entry in others[:1]] + [
        f"user:{entry.pw_uid}" for entry in nobody[:1]
    ]


async def possible(identity: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        *child_command(identity=identity),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


def unprivileged_uid(identity: str) -> int | None:
    """Whose the files of PostgreSQL must be, when that is not simply us."""
    kind, _, number = identity.partition(":")
    return int(number) if kind == "user" else None
