"""Starts a program as a user would, and always stops it again, however the test ends."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import signal
import socket
import sys
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.limited import limited

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Collection, Mapping

    from tests.forked import Member

ROOT = Path(__file__).parents[1]
TANDEM = str(Path(sys.executable).parent / "tandem")
HOST = "127.0.0.1"
STOPS_WITHIN = 20.0
PR_SET_PDEATHSIG = 1


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def lasting_port() -> int:
    """Below the ports that the kernel gives to connections: it is still free at each restart."""
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(OSError), closing(socket.socket()) as probe:
            probe.bind((HOST, port))
            return port
    raise AssertionError("none of 100 ports is free")


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        with ExitStack() as stack, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server((HOST, port)))
            return first


@asynccontextmanager
async def running(
    *command: str,
    env: Mapping[str, str] | None = None,
    log: Path,
    pass_fds: Collection[int] = (),
) -> AsyncIterator[Process]:
    """The command as a process in a session of its own; on the way out SIGTERM, then SIGKILL."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
            preexec_fn=as_from_a_terminal,
        )
    try:
        yield process
    finally:
        await stop(process)


async def ended(process: Process | Member, seconds: float) -> int:
    """Returns the exit status of a process that ends within this time."""
    async with limited(seconds):
        status = await process.wait()
    assert status is not None
    return status


def as_from_a_terminal() -> None:
    """Takes Ctrl-C, which shells have their background ignore, and a SIGTERM when the test dies somehow."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def stop(process: Process | Member) -> None:
    """Ends a process: SIGTERM, and after STOPS_WITHIN seconds SIGKILL to its session."""
    if process.returncode is None:
        process.terminate()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), STOPS_WITHIN)
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
