"""Errors of loops: the first ends the process, every one is logged or raised, none is left to asyncio."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.runtime import process
from api.runtime.background import LoopFailed
from api.runtime.signals import run_until
from tests.limited import limited


async def _fails(error: Exception) -> None:
    raise error


async def _fails_when_cancelled(error: Exception) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise error


Loops = dict[str, Callable[[], Awaitable[None]]]


@pytest.fixture
async def unretrieved() -> list[str]:
    """Messages of asyncio about errors that were never retrieved."""
    messages: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: messages.append(str(context["message"]))
    )
    return messages


async def _run(monkeypatch: pytest.MonkeyPatch, loops: Loops, stop: asyncio.Event) -> None:
    @asynccontextmanager
    async def compose(*_: object) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(loops=loops, apps=[])

    monkeypatch.setattr(process, "compose", compose)
    settings: Any = SimpleNamespace()
    async with limited(10):
        await process.run(settings, frozenset(), stop)


async def test_every_loop_that_fails_is_logged_or_raised(
    monkeypatch: pytest.MonkeyPatch, unretrieved: list[str]
) -> None:
    loops: Loops = {
        "one": lambda: _fails(LoopFailed("One has failed.")),
        "two": lambda: _fails(LoopFailed("Two has failed.")),
        "late": lambda: _fails_when_cancelled(ValueError("late")),
    }
    with capture_logs() as logs, pytest.raises(LoopFailed, match="has failed"):
        await _run(monkeypatch, loops, asyncio.Event())
    assert [(line["event"], line["worker"]) for line in logs] == [("worker.failed", "late")]
    gc.collect()
    assert unretrieved == []


async def test_a_loop_that_fails_while_the_process_stops_is_logged(
    monkeypatch: pytest.MonkeyPatch, unretrieved: list[str]
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    loops: Loops = {
        "relay": lambda: _fails_when_cancelled(ValueError("late")),
        "other": lambda: _fails_when_cancelled(LoopFailed("Late.")),
    }
    with capture_logs() as logs:
        await _run(monkeypatch, loops, stop)
    assert [line["worker"] for line in logs] == ["relay"]
    gc.collect()
    assert unretrieved == []


async def test_an_error_after_the_stop_is_dropped(unretrieved: list[str]) -> None:
    stop = asyncio.Event()
    stop.set()
    await run_until(stop, _fails_when_cancelled(ValueError("late")))
    gc.collect()
    assert unretrieved == []
