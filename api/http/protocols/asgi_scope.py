"""The ASGI scope of a request, and the address of the client in it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.utils import get_remote_addr

from api.http.protocols.response_heads import MALFORMED, RefusedRequest

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Scope

    from api.http.protocols.http_protocol import HTTPConnection
    from api.http.protocols.request_head import Head


_UNIX_CLIENT: Final = ("127.0.0.1", 0)
"""The address of clients of a Unix socket, which are on this machine, such as a proxy."""


def client_of(transport: asyncio.Transport) -> tuple[str, int] | None:
    """Returns the address of the client; None if it has disconnected."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family == socket.AF_UNIX:
        return _UNIX_CLIENT
    return get_remote_addr(transport)


def scope_of(connection: HTTPConnection, head: Head) -> Scope:
    """Returns the scope of a request. Raises RefusedRequest if its target is malformed."""
    try:
        url = httptools.parse_url(head.target)
        raw_path = url.path or b"/"
        path = unquote(
            raw_path.decode("ascii")
        )  # invalid UTF-8 becomes U+FFFD, which matches no route
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
        raise RefusedRequest(MALFORMED) from None
    root = connection.config.root_path
    return {
        "type": "http",
        "asgi": {"version": connection.config.asgi_version, "spec_version": "2.3"},
        "http_version": head.version,
        "server": connection.server,
        "client": connection.client,
        "scheme": connection.scheme,
        "method": head.method.decode("ascii"),
        "root_path": root,
        "path": root + path,
        "raw_path": root.encode("ascii") + raw_path,
        "query_string": url.query or b"",
        "headers": head.headers,
        "state": connection.app_state.copy(),
    }
