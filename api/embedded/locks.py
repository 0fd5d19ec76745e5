"""Locks of a data directory: flocks, which the kernel releases however their holder ends.

The Tandem process holds `lock` and writes its process id there. Every process of both stores inherits
`servers.lock`, so it is free exactly when none of them is left; process ids prove nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from api.embedded.errors import EmbeddedError
from api.embedded.orphaned_processes import end_orphans

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.embedded.data_directory import Directory

EXITING_SECONDS = 0.5
"""Time that a killed process may hold its lock until the kernel has removed the process."""

STOPPING_SECONDS = 10.0
"""Time that the stores of a killed process may take to end."""


@asynccontextmanager
async def exclusive_lock(data: Directory) -> AsyncIterator[None]:
    """Locks the data directory. Raises EmbeddedError if another Tandem process has locked it."""
    with data.opened("lock") as descriptor:
        if not await lock_within(descriptor, EXITING_SECONDS):
            raise EmbeddedError(
                f"The data directory {data.path} is in use by process"
                f" {holder(descriptor)}: stop that one, or set DATA_DIR to another directory."
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)


async def lock_servers(data: Directory, descriptor: int) -> None:
    """Locks `servers.lock` once the stores of a killed Tandem process have ended, or ends them first."""
    if await lock_within(descriptor, STOPPING_SECONDS / 2):
        return
    end_orphans(data)
    if await lock_within(descriptor, STOPPING_SECONDS / 2):
        return
    raise EmbeddedError(
        f"Stores of an earlier run still use {data.path}: end the processes that hold"
        f" {data.path / 'servers.lock'} open, and start again."
    )


async def lock_within(descriptor: int, seconds: float) -> bool:
    """Polls, because a blocking flock would block the event loop."""
    for _ in range(int(seconds / 0.01)):
        if try_lock(descriptor):
            return True
        await asyncio.sleep(0.01)
    return False


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(descriptor: int) -> str:
    """Returns the process id in the lock file; any other text there is not printed."""
    written = os.pread(descriptor, 20, 0).strip()
    return written.decode() if written.isdigit() else "(starting)"
