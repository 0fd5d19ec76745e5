"""The ASGI scope of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import httptools

from api.http.protocols.response_heads import MALFORMED, RefusedRequest

if TYPE_CHECKING:
    from starlette.types import Scope

    from api.http.protocols.http_protocol import HTTPConnection
    from api.http.protocols.request_head import Head


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
