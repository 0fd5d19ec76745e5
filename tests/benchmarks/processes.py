"""Starts a server process as a user would, waits until it answers, and always stops it again."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.benchmarks.wire import AnswerError, connections

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping

ROOT = Path(__file__).parents[2]
TANDEM = str(Path(sys.executable).parent / "tandem")
HOST = "127.0.0.1"
ANSWERS_WITHIN = 60.0
STOPS_WITHIN = 20.0
PR_SET_PDEATHSIG = 1


class ProcessError(Exception):
    """A process that the benchmark needs did not start or stay; says what it printed last."""


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@asynccontextmanager
async def running(
    *command: str, env: Mapping[str, str] | None = None, log: Path
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
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
    try:
        yield process
    finally:
        await _stop(process)


def _end_with_parent() -> None:
    """Asks the kernel for a SIGTERM when the benchmark dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), STOPS_WITHIN)
        return
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def answering(url: str, process: Process, *, asked: str, log: Path) -> float:
    """Asks until an answer without errors comes; returns the perf_counter moment of that answer."""
    body = msgspec.json.encode({"query": asked})
    give_up, last = time.perf_counter() + ANSWERS_WITHIN, "nothing"
    while process.returncode is None and time.perf_counter() < give_up:
        try:
            async with asyncio.timeout(5), connections(url, 1) as (connection,):
                last = (await connection.post(body)).decode()
            if "errors" not in msgspec.json.decode(last):
                return time.perf_counter()
        except (OSError, AnswerError) as error:
            last = str(error)
        await asyncio.sleep(0.01)
    state = "runs" if process.returncode is None else f"ended with {process.returncode}"
    raise ProcessError(
        f"{url} did not answer {asked!r}: the process {state}, it last said {last!r}. "
        f"Its output ends:\n{_end(log)}"
    )


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip()
