"""SIGTERM: requests in flight are answered, and clients learn in time that a connection ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from tests import forked
from tests.acceptance.test_workers import CREATE, listeners, until
from tests.limited import limited
from tests.processes import HOST, ended, free_port
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.forked import Member

LIVEZ = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Connection:
    """One that is kept alive."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.port: int = writer.get_extra_info("peername")[1]

    def send(self, request: bytes) -> None:
        self._writer.write(request)

    async def answer(self) -> tuple[str, bytes]:
        """The headers in lower case, and the body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        [length] = [
            line.split(": ")[1] for line in head.splitlines() if line.startswith("content-length")
        ]
        return head, await self._reader.readexactly(int(length))

    async def ended(self) -> None:
        assert await self._reader.read() == b""


def post(query: str) -> bytes:
    body = query.encode()
    head = f"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    return f"{head}content-type: application/json\r\n\r\n".encode() + body


def create(number: int) -> bytes:
    given = f'{{"input": {{"name": "A", "email": "{number}@example.com"}}}}'
    return post(f'{{"query": "{CREATE}", "variables": {given}}}')


@asynccontextmanager
async def api(
    database_url: str, redis_url: str, place: Path
) -> AsyncIterator[tuple[Member, Connection]]:
    """A process, and a connection to it that has been answered once."""
    port = free_port()
    env = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PARTITIONS": str(PARTITIONS),
        "PORT": str(port),
    }
    async with forked.running("api", env=env, log=place / "log") as process:
        reader, writer = await _connected(port)
        try:
            connection = Connection(reader, writer)
            connection.send(LIVEZ)
            head, _ = await connection.answer()
            assert "connection: close" not in head
            yield process, connection
        finally:
            writer.close()


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with limited(30):
        while True:
            try:
                return await asyncio.open_connection(HOST, port)
            except OSError:
                await asyncio.sleep(0.02)


async def test_a_request_in_flight_is_answered_as_the_last_of_its_connection(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    locking = await asyncpg.connect(database_url)
    async with api(database_url, redis_url, tmp_path) as (process, connection):
        async with locking.transaction():
            await locking.execute("lock table users")
            connection.send(create(1))
            await _waits(locking)
            process.send_signal(signal.SIGTERM)
            await until(lambda: not listeners(connection.port))
        head, body = await connection.answer()
        assert b'"version":1' in body
        assert "connection: close" in head
        await connection.ended()
        assert await ended(process, 10) == 0
    await locking.close()


async def _waits(locking: asyncpg.Connection) -> None:
    waiting = "select count(*) from pg_locks where not granted"
    async with limited(20):
        while not await locking.fetchval(waiting):
            await asyncio.sleep(0.01)


async def test_a_request_that_arrives_on_an_idle_connection_during_shutdown_is_answered(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with api(database_url, redis_url, tmp_path) as (process, connection):
        process.send_signal(signal.SIGTERM)
        await until(lambda: not listeners(connection.port))
        connection.send(create(1))
        head, body = await connection.answer()
        assert b'"version":1' in body
        assert "connection: close" in head
        await connection.ended()
        assert await ended(process, 10) == 0


async def test_an_idle_connection_without_a_request_is_closed_soon(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with api(database_url, redis_url, tmp_path) as (process, connection):
        process.send_signal(signal.SIGTERM)
        async with limited(5):
            await connection.ended()
            assert await process.wait() == 0
