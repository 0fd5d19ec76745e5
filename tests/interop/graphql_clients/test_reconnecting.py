"""graphql-ws connects again after every close that it did not cause, and its subscription continues."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from api.http.protocols.server_config import uvicorn_config
from api.http.websocket_close_codes import forbidden
from tests.api.http.test_close_codes import CODES, until
from tests.api.in_memory_app import ALICE, Edge, edge, running
from tests.api.with_limits import with_limits
from tests.limited import limited

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.interop.graphql_clients.node import Node

FATAL = {
    "MESSAGE_TOO_BIG",
    "NOT_TEXT",
    "NOT_A_MESSAGE",
    "NOT_INITIALISED",
    "NO_SUBPROTOCOL",
    "DUPLICATE_ID",
    "SECOND_INIT",
}
"""The client's own faults; every other close is retried."""


async def test_graphql_ws_retries_every_close_that_is_not_its_fault(node: Node) -> None:
    expected = {close.code: name not in FATAL for name, close in CODES.items()}
    expected |= {forbidden("").code: True, 1002: False, 1005: True, 1006: True, 1007: False}
    retried = await node.tell("retried.mjs", *map(str, expected))
    assert retried == {str(code): again for code, again in expected.items()}


class Watch:
    """A node process with one subscription."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process = process
        self._log = log

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    async def until(self, line: Any) -> None:
        try:
            await until(lambda: line in self.lines())
        except TimeoutError:
            pytest.fail(f"no {line} in {self.lines()}")

    def closes(self) -> list[int]:
        return [line["closed"] for line in self.lines() if "closed" in line]


@asynccontextmanager
async def watching(node: Node, made: Edge, port: int) -> AsyncIterator[Watch]:
    made.reads.put(ALICE, "Alice", version=1)
    async with node.started("watch.mjs", f"127.0.0.1:{port}", str(ALICE)) as (process, log):
        watch = Watch(process, log)
        await watch.until({"version": 1})
        try:
            yield watch
        finally:
            with suppress(ProcessLookupError):
                process.kill()  # also if it is frozen


async def continues(watch: Watch, made: Edge, version: int) -> None:
    """The subscription has the present state, and gets the next change."""
    await watch.until({"version": version})
    made.reads.put(ALICE, "Alice", version + 1)
    await watch.until({"version": version + 1})
    assert not [line for line in watch.lines() if "failed" in line or "complete" in line]


async def test_a_client_that_was_frozen_for_longer_than_the_pong_timeout_continues(
    node: Node,
) -> None:
    """Also if the service has long given up to wait for its Close frame."""
    async with (
        edge(with_limits(ping_seconds=0.3, send_seconds=0.1)) as made,
        running(uvicorn_config(made.app, log_level="warning")) as server,
        watching(node, made, server.address[1]) as watch,
    ):
        watch.process.send_signal(signal.SIGSTOP)
        made.reads.put(ALICE, "Alice", version=2)
        await until(lambda: not server.server_state.connections)
        assert not made.reads.listeners
        made.reads.put(ALICE, "Alice", version=3)
        watch.process.send_signal(signal.SIGCONT)
        await continues(watch, made, 3)
        assert watch.closes() == [4408]


async def test_a_client_that_was_frozen_while_messages_came_continues(node: Node) -> None:
    async with (
        edge(with_limits(send_seconds=0.5)) as made,
        running(uvicorn_config(made.app, log_level="warning")) as server,
        watching(node, made, server.address[1]) as watch,
    ):
        version = 1
        watch.process.send_signal(signal.SIGSTOP)
        async with limited(20):
            while made.reads.listeners:
                version += 1
                made.reads.put(ALICE, "x" * 100_000, version)
                await asyncio.sleep(0.001)
        watch.process.send_signal(signal.SIGCONT)
        made.reads.put(ALICE, "Alice", version + 1)
        await continues(watch, made, version + 1)
        assert watch.closes() == [1013]


async def test_a_client_of_a_service_that_restarts_connects_again_and_continues(node: Node) -> None:
    async with edge() as made, AsyncExitStack() as stack:
        async with running(uvicorn_config(made.app, log_level="warning"), shared=True) as server:
            port = server.address[1]
            watch = await stack.enter_async_context(watching(node, made, port))
            made.reads.put(ALICE, "Alice", version=2)
            await watch.until({"version": 2})
            restarted = running(uvicorn_config(made.app, log_level="warning"), port, shared=True)
            await stack.enter_async_context(restarted)
        made.reads.put(ALICE, "Alice", version=3)
        await continues(watch, made, 3)
        assert watch.closes() == [1012]


async def test_a_client_that_sent_too_many_frames_connects_again_and_continues(node: Node) -> None:
    async with (
        edge(with_limits(frames=100)) as made,
        running(uvicorn_config(made.app, log_level="warning")) as server,
        watching(node, made, server.address[1]) as watch,
    ):
        watch.process.send_signal(signal.SIGUSR2)  # it sends 200 pings
        await watch.until({"closed": 1013})
        made.reads.put(ALICE, "Alice", version=2)
        await continues(watch, made, 2)
        assert watch.closes() == [1013]
