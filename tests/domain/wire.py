"""A wire between a client and PostgreSQL that counts what goes over it, and that can be cut or go silent."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

SOCKET = ".s.PGSQL.5432"


class Wire:
    """Messages are told apart by their first byte, as PostgreSQL's protocol has it."""

    def __init__(self, url: str, here: Path) -> None:
        [there] = parse_qs(urlsplit(url).query)["host"]
        self.url = url.replace(quote(there, safe="/"), quote(str(here), safe="/"))
        self._there = Path(there) / SOCKET
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._hearing = asyncio.Event()
        self._hearing.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._carried: list[asyncio.Task[None]] = []
        self.asked: Counter[str] = Counter()
        """What the client sent: P(arse), B(ind), E(xecute), S(ync), Q(uery)."""
        self.answered: Counter[str] = Counter()
        """What came back; a Z (ready for the next) ends each round trip."""

    def forget(self) -> None:
        self.asked.clear()
        self.answered.clear()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def fall_silent(self, *, deaf: bool = False) -> None:
        """Nothing is answered any more, or not even heard if deaf; no connection is closed."""
        self._speaking.clear()
        if deaf:
            self._hearing.clear()

    def speak(self) -> None:
        self._speaking.set()
        self._hearing.set()

    def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._carried.append(asyncio.create_task(self._carry(reader, writer)))

    async def close(self) -> None:
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with aborted(writer):
            await self._hearing.wait()
            there, here = await asyncio.open_unix_connection(self._there)
            self._writers += [writer, here]
            with aborted(here):
                first = await reader.readexactly(4)
                here.write(first + await reader.readexactly(int.from_bytes(first, "big") - 4))
                async with asyncio.TaskGroup() as both_ways:
                    both_ways.create_task(self._copy(reader, here, self.asked, self._hearing))
                    both_ways.create_task(self._copy(there, writer, self.answered, self._speaking))

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        count: Counter[str],
        gate: asyncio.Event,
    ) -> None:
        # Either way's end is the end of both: it leaves the group as an error.
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
            await gate.wait()
            count[chr(head[0])] += 1
            writer.write(head + body)


@contextmanager
def aborted(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    finally:
        writer.transport.abort()


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    with tempfile.TemporaryDirectory() as here:
        wire = Wire(url, Path(here))
        server = await asyncio.start_unix_server(wire.carry, Path(here) / SOCKET)
        try:
            yield wire
        finally:
            server.close()
            await wire.close()
