"""A command is traced from its request to the read model: by lines of the log, by spans of one trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.observability import otel
from tests.acceptance.service import running
from tests.acceptance.test_processes import refused, tandem
from tests.limited import limited
from tests.processes import free_port
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from api.settings import Settings

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{ID}-{SPAN}-01"}
CREATE = """mutation Create {
  createUser(input: {name: "Alice", email: "alice@example.com"}) { user { id } }
}"""


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Where spans go, which are made while the test lasts."""
    exporter = InMemorySpanExporter()
    otel.start(SimpleSpanProcessor(exporter))
    yield exporter
    otel.stop()


async def test_every_line_of_a_command_and_its_event_has_the_same_trace_and_command_id(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PARTITIONS": str(PARTITIONS)}
    async with tandem(tmp_path, "serve", port=port, LOG_LEVEL="debug", **stores) as (_, client):
        await client.http.post("/graphql", json={"query": CREATE}, headers=HEADERS)
    log = (tmp_path / f"serve-{port}.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    ours = {line["event"]: line["command_id"] for line in lines if line.get("trace") == ID}
    assert set(ours) == {"command.executed", "event.appended", "event.applied"}
    assert len(set(ours.values())) == 1
    assert "alice" not in log.lower()


async def test_one_trace_goes_from_the_request_to_the_read_model(
    settings: Settings, exporter: InMemorySpanExporter
) -> None:
    async with running(settings) as client:
        exporter.clear()
        await client.http.post("/graphql", json={"query": CREATE}, headers=HEADERS)
        found = await _spans(exporter, 3)
    request = found["GraphQL"]
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == SPAN
    steps = [found["UserCreated appended"], found["UserCreated applied"]]
    assert {step.parent.span_id for step in steps if step.parent} == {request.context.span_id}
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {ID}
    commands = [(span.attributes or {})["tandem.command_id"] for span in found.values()]
    assert len(commands) == 3
    assert len(set(commands)) == 1


async def test_a_query_is_one_span_however_many_fields_it_has(
    settings: Settings, exporter: InMemorySpanExporter
) -> None:
    async with running(settings) as client:
        exporter.clear()
        await client.data("{ users { nodes { id name } totalCount } }")
        await client.data("{ users { totalCount } }")
    assert [span.name for span in exporter.get_finished_spans()] == ["GraphQL", "GraphQL"]


async def test_spans_are_exported_over_otlp(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    taken: asyncio.Queue[bytes] = asyncio.Queue()
    collector = await asyncio.start_server(_taking(taken), "127.0.0.1", 0)
    endpoint = "http://{}:{}".format(*collector.sockets[0].getsockname())
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PARTITIONS": str(PARTITIONS)}
    async with (
        collector,
        tandem(
            tmp_path,
            "serve",
            port=free_port(),
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_BSP_SCHEDULE_DELAY="100",
            **stores,
        ) as (_, client),
        limited(20),
    ):
        await client.http.post("/graphql", json={"query": CREATE}, headers=HEADERS)
        while bytes.fromhex(ID) not in await taken.get():
            pass


async def test_a_wrong_endpoint_is_one_sentence() -> None:
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in await refused(
        "up", OTEL_EXPORTER_OTLP_ENDPOINT="collector:4317"
    )


def _taking(taken: asyncio.Queue[bytes]) -> Any:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = [
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        ]
        taken.put_nowait(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    return take


async def _spans(exporter: InMemorySpanExporter, count: int) -> dict[str, ReadableSpan]:
    """The first so many, by name."""
    async with limited(10):
        while len(found := exporter.get_finished_spans()) < count:
            await asyncio.sleep(0.01)
    return {span.name: span for span in found}
