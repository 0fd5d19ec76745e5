"""The service behind a proxy, which keeps the head of every request that its parser found."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from api.http.protocols.http_protocol import HTTPConnection
from api.http.protocols.server_config import uvicorn_config
from tests.api.in_memory_app import Edge, Server, edge, running
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.http.protocols.request_head import Head
    from api.limits import Limits


class Backend:
    """A server over the edge, and what arrived there."""

    def __init__(self, made: Edge) -> None:
        self.edge = made
        self.heads: list[Head] = []
        self.received = b""
        """The bytes that were read last."""
        self.opened = 0
        """Connections that were opened."""
        self.lost = 0
        """Connections that ended."""
        self.closed_idle = 0
        """Connections that the service closed because no request came."""
        self.server: Server

    @property
    def created(self) -> list[str]:
        """The e-mail addresses of the users that were created."""
        return [cast("Any", command).email.address for command in self.edge.store.commands]

    @property
    def ids(self) -> list[str]:
        """The X-Request-Id of every request; empty where a request has none."""
        return [head.fields.get(b"x-request-id", b"").decode() for head in self.heads]

    async def until_disconnected(self) -> None:
        """Waits until every byte of a proxy that has ended was read, and its connections are closed."""
        async with limited(15):
            while self.server.server_state.connections or self.server.server_state.tasks:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def backend(limits: Limits | None = None, **http: Any) -> AsyncIterator[Backend]:
    async with edge(limits, **http) as made:
        backend = Backend(made)
        settings = uvicorn_config(made.app, log_level="warning", forwarded_allow_ips="127.0.0.1")
        settings.http = _recording(backend)
        async with running(settings) as backend.server:
            try:
                yield backend
            finally:
                made.app.state.closing.set()


def _recording(backend: Backend) -> type[HTTPConnection]:
    class Recording(HTTPConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            backend.opened += 1
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            backend.received = data
            super().data_received(data)

        def on_request(self, head: Head) -> None:
            backend.heads.append(head)
            super().on_request(head)

        def connection_lost(self, exc: Exception | None) -> None:
            backend.lost += 1
            super().connection_lost(exc)

        def _on_deadline(self) -> None:
            backend.closed_idle += self._is_idle
            super()._on_deadline()

    return Recording
