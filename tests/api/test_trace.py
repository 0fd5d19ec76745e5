"""A request's trace: the client's if it has one, in the metadata of events and in every line of the log."""

from __future__ import annotations

import json

import pytest
import structlog
from structlog.testing import LogCapture

from api.observability.logs import with_trace
from api.trace import Trace, current_trace, trace_id_of
from domain.write.database import WriteModelUnavailable
from tests.api.http.test_graphql_ws import connected, heard
from tests.api.in_memory_app import edge

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-00f067aa0ba902b7-01"
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'


@pytest.mark.parametrize("given", [PARENT, PARENT.replace("00-", "01-", 1) + "-and-more"])
def test_a_traceparent_has_the_id_of_its_trace(given: str) -> None:
    assert trace_id_of(given) == Trace(given).id == ID
    assert Trace(given).traceparent == given[:55]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "alice@example.com",
        PARENT.upper(),
        PARENT[:-1],
        f"{PARENT}\n",
        "ff" + PARENT[2:],
        PARENT.replace(ID, "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
    ],
)
def test_an_invalid_traceparent_is_ignored(given: str) -> None:
    assert trace_id_of(given) is None
    trace = Trace(given)
    assert trace_id_of(trace.traceparent) == trace.id
    assert trace.id not in {ID, Trace(given).id}


def test_outside_a_request_there_is_no_trace() -> None:
    assert current_trace() is None


async def test_events_carry_the_trace_of_the_request_and_the_id_of_their_command() -> None:
    async with edge() as made:
        await made.post(CREATE, headers={"traceparent": PARENT})
        await made.post(CREATE)
        await made.post(CREATE)
    given, *own = made.store.metadata
    assert given["traceparent"] == PARENT
    assert {trace_id_of(metadata["traceparent"]) for metadata in own}.isdisjoint({ID, None})
    assert len({metadata["traceparent"] for metadata in made.store.metadata}) == 3
    assert len({metadata["commandId"] for metadata in made.store.metadata}) == 3


async def test_commands_of_one_operation_share_its_trace_and_have_ids_of_their_own() -> None:
    two = CREATE.replace("createUser", "a: createUser") + CREATE.replace("mutation {", "")
    async with edge() as made:
        await made.post(two.replace("} }", "}", 1))
    one, other = made.store.metadata
    assert one["traceparent"] == other["traceparent"]
    assert one["commandId"] != other["commandId"]


async def test_a_message_over_websocket_brings_its_trace_in_the_extensions() -> None:
    async with connected() as (made, socket):
        for extensions in ({"traceparent": PARENT}, {"traceparent": 1}, None):
            payload = {"query": CREATE, "extensions": extensions}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            assert (await heard(socket))["type"] == "next"
            assert (await heard(socket))["type"] == "complete"
    given, *own = [metadata["traceparent"] for metadata in made.store.metadata]
    assert given == PARENT
    assert {trace_id_of(traceparent) for traceparent in own}.isdisjoint({ID, None})


async def test_the_line_of_a_failed_command_has_its_trace_and_its_id() -> None:
    lines = LogCapture()
    before = structlog.get_config()["processors"]
    structlog.configure(processors=[with_trace, lines])
    try:
        async with edge() as made:
            made.store.outcome = WriteModelUnavailable("away")
            await made.post(CREATE, headers={"traceparent": PARENT})
    finally:
        structlog.configure(processors=before)
    [line] = lines.entries
    assert (line["trace"], line["command_id"]) == (ID, made.store.metadata[0]["commandId"])
