"""Raw connections to a real server: requests as bytes, parsed responses."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from api.http.protocols.server_config import uvicorn_config
from tests.api.in_memory_app import ALICE, Edge, Server, edge, running
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from api.auth.access import Access
    from api.http.protocols.http_protocol import HTTPConnection
    from api.limits import Limits

QUERY = "{ __typename }"
HOST = b"host: localhost"
JSON = b"content-type: application/json"


def create(email: str) -> str:
    return f'mutation {{ createUser(input: {{name: "A", email: "{email}"}}) {{ id }} }}'


def request(query: str = QUERY, *headers: bytes, line: bytes = b"POST /graphql HTTP/1.1") -> bytes:
    """A request to GraphQL, with Content-Length."""
    body = json.dumps({"query": query}).encode()
    return framed(line, [JSON, *headers], body)


def framed(line: bytes, headers: list[bytes], body: bytes) -> bytes:
    return head(line, *headers, b"content-length: %d" % len(body)) + body


def head(line: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([line, HOST, *headers, b"", b""])


def chunks(*parts: bytes, extension: bytes = b"", trailers: tuple[bytes, ...] = ()) -> bytes:
    """A body in chunks, with this extension on each, and these trailers."""
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return (
        body + b"0" + extension + b"\r\n" + b"".join(b"%b\r\n" % one for one in trailers) + b"\r\n"
    )


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *segments: bytes) -> None:
        """Writes each segment in a turn of its own; a server that has closed is no error."""
        with suppress(ConnectionError):
            for segment in segments:
                self.writer.write(segment)
                await self.writer.drain()
                await asyncio.sleep(0.001)

    async def end(self) -> None:
        """Shuts down the writing side."""
        with suppress(OSError):
            self.writer.write_eof()

    async def response(self, *, method: str = "POST") -> Response | None:
        """The next response; None if the connection is closed before it begins."""
        async with limited(10):
            try:
                start = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            first, *lines = start.decode("latin-1").strip().split("\r\n")
            status = int(first.split()[1])
            headers = {
                name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
            }
            if status == 100:
                return await self.response(method=method)
            assert len(headers) == len(lines), "a response has a header twice"
            return Response(status, headers, await self._body(headers, method))

    async def _body(self, headers: dict[str, str], method: str) -> bytes:
        if method == "HEAD":
            return b""
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.read()
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    async def responses(self) -> list[Response]:
        """All until the connection closes."""
        found = []
        while (response := await self.response()) is not None:
            found.append(response)
        return found


class Wired:
    """A server over the edge, and connections to it."""

    def __init__(self, made: Edge, server: Server) -> None:
        self.edge = made
        self.server = server

    @property
    def connections(self) -> set[HTTPConnection]:
        return cast("set[HTTPConnection]", self.server.server_state.connections)

    @property
    def created(self) -> list[str]:
        """The e-mail addresses of the users that were created."""
        return [cast("Any", command).email.address for command in self.edge.store.commands]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection(*self.server.address)
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def __call__(self, *segments: bytes, ends: bool = True) -> list[Response]:
        """Returns the responses to these segments on a new connection, which is then half-closed."""
        async with self.opened() as wire:
            await wire.send(*segments)
            if ends:
                await wire.end()
            return await wire.responses()


@asynccontextmanager
async def wired(
    limits: Limits | None = None,
    *,
    access: Access | None = None,
    http: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Wired]:
    """Alice is there. `http` are options of HTTP, and `options` are uvicorn's."""
    async with edge(limits, access=access, **(http or {})) as made:
        made.reads.put(ALICE, "Alice")
        async with running(uvicorn_config(made.app, log_level="warning", **options)) as server:
            try:
                yield Wired(made, server)
            finally:
                made.app.state.closing.set()


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    async with limited(seconds):
        while not holds():
            await asyncio.sleep(0.001)
