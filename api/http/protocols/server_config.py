"""uvicorn's server and its configuration, with the protocols of this package."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.http.graphql_http import GraphQLOverHTTP
from api.http.protocols.http_protocol import HTTPConnection
from api.http.protocols.response_heads import CLOSE, date_line, keep_alive
from api.http.protocols.unsent_bytes import UnsentBytes
from api.http.protocols.websocket_protocol import WebSocketConnection


class ServerContext:
    """The state that the connections of one server share, at `config.context`."""

    def __init__(self, config: uvicorn.Config, app: Starlette) -> None:
        """The state of the application has its limits, and the endpoint for GraphQL if it has one."""
        self.limits = app.state.limits
        self._keep_alive = keep_alive(self.limits.idle_seconds)
        self._second = 0
        self._lines = (b"", b"")
        self.idle: dict[asyncio.Transport, None] = {}
        """Connections without a request in progress, in the order in which they became idle."""
        self.unsent_bytes = UnsentBytes(self.limits.unsent_bytes)
        self.graphql: GraphQLOverHTTP | None = getattr(app.state, "graphql", None)
        self._forwarded: Any = (
            ProxyHeadersMiddleware(_ignore, trusted_hosts=config.forwarded_allow_ips)
            if config.proxy_headers
            else _ignore
        )

    def lines(self, *, closes: bool) -> bytes:
        """Returns the header lines of every response: Date, Connection and Keep-Alive."""
        second = int(time.time())
        if second != self._second:
            date = date_line(second)
            self._second, self._lines = second, (date + self._keep_alive, date + CLOSE)
        return self._lines[closes]

    def close_longest_idle(self) -> bool:
        """Closes the connection that has been idle longest. Returns False if none is idle."""
        for transport in self.idle:
            del self.idle[transport]
            transport.abort()  # close() would wait until the client has read its last response
            return True
        return False

    async def set_client(self, scope: Scope) -> None:
        """Replaces the address of a trusted proxy by that of its client, as uvicorn does."""
        await self._forwarded(scope, _ignore, _ignore)


def uvicorn_config(app: Starlette, **options: Any) -> uvicorn.Config:
    """Returns uvicorn's configuration for this application."""
    limits = app.state.limits
    # HOST=localhost listens on both loopback addresses, and a Unix socket counts as the first.
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
    config = uvicorn.Config(
        app,
        http=HTTPConnection,
        ws=WebSocketConnection,
        ws_max_size=limits.body_bytes,
        ws_per_message_deflate=False,  # a few bytes may decompress to many
        ws_ping_interval=limits.ping_seconds,
        ws_ping_timeout=limits.ping_seconds,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        **{"forwarded_allow_ips": trusted, **options},
    )
    config.context = ServerContext(config, app)  # type: ignore[attr-defined]
    return config


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers, which the process replaces, and with an event for its startup."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _ignore(*_: Any) -> Any:
    """An application that does nothing."""
