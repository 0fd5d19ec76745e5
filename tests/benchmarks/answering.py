"""Waits until a service that was started answers a query."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from tests.benchmarks.wire import AnswerError, connections

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

ANSWERS_WITHIN = 60.0


class ProcessError(Exception):
    """A process that the benchmark needs did not start or stay; says what it printed last."""


async def answering(url: str, process: Process, *, asked: str, log: Path, token: str = "") -> float:
    """Asks until an answer without errors comes; returns the perf_counter moment of that answer."""
    body = msgspec.json.encode({"query": asked})
    give_up, last = time.perf_counter() + ANSWERS_WITHIN, "nothing"
    while process.returncode is None and time.perf_counter() < give_up:
        try:
            async with asyncio.timeout(5), connections(url, 1, token) as (connection,):
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
