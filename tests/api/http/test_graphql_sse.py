"""GraphQL over Server-Sent Events, distinct connections mode, over a real server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from api.http.graphql_sse import EVENT_STREAM
from api.http.result_stream import ResultStream
from api.limits import Limits
from tests.api.in_memory_app import ALICE, Edge, edge, served
from tests.api.with_limits import with_limits
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from starlette.types import Message

    from api.errors import Formatted

STREAM = {"accept": "text/event-stream"}
WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ version }} }}'
COMPLETE = ["event: complete", "data:"]


@asynccontextmanager
async def streamed(
    query: str,
    limits: Limits | None = None,
    versions: range = range(1, 2),
    last_event_id: str | None = None,
) -> AsyncIterator[tuple[Edge, AsyncIterator[str]]]:
    """The lines of the stream that a query gets."""
    headers = {} if last_event_id is None else {"last-event-id": last_event_id}
    async with edge(limits) as made, served(made.app) as address:
        for version in versions:
            made.reads.put(ALICE, "Alice", version)
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", headers=STREAM) as client,
            client.stream("POST", "/graphql", json={"query": query}, headers=headers) as response,
        ):
            assert response.status_code == 200
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            yield made, response.aiter_lines()


async def event(lines: AsyncIterator[str]) -> list[str]:
    """The lines up to the next empty one."""
    found = []
    async with limited(5):
        async for line in lines:
            if not line:
                break
            found.append(line)
    return found


async def event_after_comments(lines: AsyncIterator[str]) -> list[str]:
    while (found := await event(lines)) == [":"]:
        pass
    return found


def told(version: int) -> list[str]:
    data = msgspec.json.encode({"data": {"userChanged": {"version": version}}}).decode()
    return ["event: next", f"id: {version}", f"data: {data}"]


async def test_a_query_is_one_event_and_then_complete() -> None:
    async with streamed("{ __typename }") as (_, lines):
        assert await event(lines) == ["event: next", 'data: {"data":{"__typename":"Query"}}']
        assert await event(lines) == COMPLETE
        assert await event(lines) == []


async def test_a_subscription_sends_the_present_state_and_then_each_change() -> None:
    async with streamed(WATCH) as (made, lines):
        assert await event(lines) == told(1)
        made.reads.put(ALICE, "Bob", version=2)
        assert await event(lines) == told(2)


def watch_behind(version: int) -> str:
    return f'subscription {{ userChanged(id: "{ALICE}", afterVersion: {version}) {{ version }} }}'


async def test_a_client_that_reconnects_names_the_last_version_it_received() -> None:
    async with streamed(watch_behind(2), versions=range(1, 5)) as (made, lines):
        assert [await event(lines) for _ in range(2)] == [told(3), told(4)]
        made.reads.put(ALICE, "Bob", version=5)
        assert await event(lines) == told(5)


@pytest.mark.parametrize("query", [WATCH, watch_behind(1)])
async def test_an_event_source_that_reconnects_resumes_after_its_last_event(query: str) -> None:
    """It repeats its URL, so the header counts and not the argument."""
    async with streamed(query, versions=range(1, 5), last_event_id="2") as (made, lines):
        assert [await event(lines) for _ in range(2)] == [told(3), told(4)]
        made.reads.put(ALICE, "Bob", version=5)
        assert await event(lines) == told(5)


async def test_an_event_source_without_events_begins_with_the_present_state() -> None:
    async with streamed(WATCH, versions=range(1, 5), last_event_id="") as (_, lines):
        assert await event(lines) == told(4)


async def test_the_version_is_the_id_of_an_event_that_does_not_select_it() -> None:
    query = f'subscription {{ userChanged(id: "{ALICE}") {{ name }} }}'
    async with streamed(query, versions=range(3, 4)) as (_, lines):
        assert (await event(lines))[1] == "id: 3"


@pytest.mark.parametrize(
    "last",
    [*("-1", "+1", "1.0", "0x1", "1e1", " 1 2", "x", "1, 2", "9" * 10, "9" * 5_000), "\u0661"],
)
async def test_an_id_that_is_no_version_is_refused(last: str) -> None:
    headers = {b"accept": b"text/event-stream", b"last-event-id": last.encode()}
    async with edge() as made:
        response = await made.post(WATCH, headers=headers)
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
        assert made.reads.asked == 0


async def test_changes_that_are_no_longer_kept_are_an_error() -> None:
    async with streamed(watch_behind(2), versions=range(50, 201)) as (_, lines):
        name, data = await event(lines)
        assert name == "event: next"
        assert '"code":"CHANGES_FORGOTTEN"' in data
        assert await event(lines) == COMPLETE


async def test_a_user_that_does_not_exist_ends_the_stream_if_there_is_no_lag() -> None:
    query = WATCH.replace(str(ALICE), str(ALICE).replace("a", "b"))
    async with streamed(query) as (made, lines):
        made.reads.without_lag = "g"
        name, data = await event(lines)
        assert name == "event: next"
        assert '"code":"USER_NOT_FOUND"' in data
        assert await event(lines) == COMPLETE


async def test_the_error_of_a_request_without_data_is_sent_in_the_stream() -> None:
    for query, code in (
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { userChanged(id: "x") { id } }', "BAD_USER_INPUT"),
        (watch_behind(-1), "BAD_USER_INPUT"),
        (watch_behind(1).replace("afterVersion: 1", "minVersion: -1"), "BAD_USER_INPUT"),
        (watch_behind(1).replace("afterVersion: 1", "minVersion: 2"), "READ_MODEL_BEHIND"),
    ):
        async with streamed(query) as (_, lines):
            name, data = await event(lines)
            assert name == "event: next"
            assert f'"code":"{code}"' in data
            assert await event(lines) == COMPLETE


async def test_silence_is_broken_by_comments() -> None:
    async with streamed(WATCH, with_limits(keep_alive_seconds=0.02)) as (made, lines):
        assert await event_after_comments(lines) == told(1)
        assert await event(lines) == [":"]
        made.reads.put(ALICE, "Bob", version=2)
        assert await event_after_comments(lines) == told(2)


async def test_a_client_that_disconnects_leaves_no_state() -> None:
    """The connection of a client that has closed may be half-closed, until a comment cannot be written."""
    async with edge(with_limits(keep_alive_seconds=0.02)) as made, served(made.app) as address:
        made.reads.put(ALICE, "Alice")
        before = asyncio.all_tasks()
        async with httpx.AsyncClient(
            base_url=f"http://{address}", headers=STREAM, verify=False
        ) as client:
            for _ in range(5):
                body = {"query": WATCH}
                async with client.stream("POST", "/graphql", json=body) as response:
                    assert await event_after_comments(response.aiter_lines()) == told(1)
        async with limited(5):
            await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)
        assert made.reads.listeners == set()


async def test_no_event_is_made_before_the_one_before_has_drained() -> None:
    made, drained, received = 0, asyncio.Event(), asyncio.Event()
    drained.set()

    async def events() -> AsyncGenerator[Formatted, None]:
        nonlocal made
        for _ in range(3):
            made += 1
            yield {"data": None}

    async def send(message: Message) -> None:
        """As servers do: waits before it writes, and an event fills the buffer."""
        await drained.wait()
        if message.get("body", b"").startswith(b"event: next"):
            drained.clear()
            received.set()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    stream = ResultStream(EVENT_STREAM, events())
    streaming = asyncio.create_task(stream.send(receive, send, 60, asyncio.Event()))
    for number in range(1, 4):
        async with limited(5):
            await received.wait()
        received.clear()
        for _ in range(20):
            await asyncio.sleep(0)
        assert made == number
        drained.set()
    await streaming
