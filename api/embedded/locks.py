"""Locks of a data directory: flocks, which the kernel releases however their holder ends.

The Tandem process holds `lock` and writes its process id there. Every process of both stores inherits
`servers.lock`, so it is free exactly when none of them is left; process ids prove nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from api.embedded.data_directory import Directory
from api.operator_error import OperatorError

EXITING_SECONDS = 0.5
"""Time that a killed process may hold its lock until the kernel has removed the process."""

STOPPING_SECONDS = 10.0
"""Time that the stores of a killed process may take to end."""


@asynccontextmanager
async def exclusive_lock(data: Directory) -> AsyncIterator[None]:
    """Locks the data directory. Raises OperatorError if another Tandem process has locked it."""
    with data.opened("lock") as descriptor:
        if not await lock_within(descriptor, EXITING_SECONDS):
            raise OperatorError(
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
    raise OperatorError(
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


def end_orphans(data: Directory) -> None:
    """Ends the stores that outlived a killed Tandem process, without or in spite of the parent-death signal.

    A process id in a file proves nothing, because ids are reused. The working directory of both servers is
    their data directory, so a process counts as an orphan only if its working directory is there.
    """
    for name, pid_file, number in (
        ("postgres", "postmaster.pid", signal.SIGQUIT),
        ("valkey", "valkey.pid", signal.SIGKILL),
    ):
        if data.holds(name):
            with data.entered(name) as directory:
                _end(directory, pid_file, number)


def _end(directory: Directory, pid_file: str, number: signal.Signals) -> None:
    pid = pid_in(directory, pid_file)
    if pid is not None and is_running_in(pid, directory):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def pid_in(directory: Directory, pid_file: str) -> int | None:
    line = (directory.read(pid_file) or "").split("\n", 1)[0].strip()
    return int(line) if re.fullmatch(r"[0-9]{1,10}", line) and int(line) > 1 else None


def is_running_in(pid: int, directory: Directory) -> bool:
    """True if this is the working directory of the process (on macOS: if its command names the directory).

    The process must also belong to the directory's owner, who otherwise could make root end any process.
    """
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            working_directory = os.stat(f"/proc/{pid}/cwd")
            same = os.path.samestat(working_directory, os.fstat(directory.descriptor))
            return same and os.stat(f"/proc/{pid}").st_uid == directory.owner
        return False
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return str(directory.path) in result.stdout
