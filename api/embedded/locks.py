"""Who owns a data directory: flocks, which the kernel drops with their holder, however that dies.

`lock` belongs to the Tandem process and names it. `servers.lock` is inherited by every process of
both stores, so it is free exactly when none of them is left; no process id is trusted for that.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from api.embedded.errors import EmbeddedError
from api.embedded.orphaned_processes import end_leftovers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.embedded.data_directory import Directory

EXITING_SECONDS = 0.5
"""How long a process that was just killed may hold its lock until the kernel has taken it down."""

STOPPING_SECONDS = 10.0
"""How long the stores of a process that was killed may take until they are gone."""


@asynccontextmanager
async def owned(data: Directory) -> AsyncIterator[None]:
    """Hold the data directory; refuse when another Tandem holds it."""
    with data.opened("lock") as descriptor:
        if not await locked_within(descriptor, EXITING_SECONDS):
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


async def await_no_servers(data: Directory, descriptor: int) -> None:
    """Take the lock that stores inherit, once those of a killed Tandem have gone."""
    for end in (False, True):
        if end:
            end_leftovers(data)
        if await locked_within(descriptor, STOPPING_SECONDS / 2):
            return
    raise EmbeddedError(
        f"Stores of an earlier run still use {data.path}: end the processes that hold"
        f" {data.path / 'servers.lock'} open, and start again."
    )


async def locked_within(descriptor: int, seconds: float) -> bool:
    """Poll, because waiting in flock would hold the event loop."""
    for _ in range(int(seconds / 0.01)):
        if locked(descriptor):
            return True
        await asyncio.sleep(0.01)
    return False


def locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(descriptor: int) -> str:
    """Returns the process id in the lock file; other text is not for a terminal."""
    written = os.pread(descriptor, 20, 0).strip()
    return written.decode() if written.isdigit() else "(starting)"
