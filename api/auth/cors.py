"""Cross-origin resource sharing: what pages of ALLOWED_ORIGINS may send and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware

from api.auth.web_origin import is_allowed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

EXPOSED: Final = ("retry-after", "traceparent", "www-authenticate")
"""Response headers that a page may read, besides those the Fetch standard always lets it read."""

PREFLIGHT_SECONDS: Final = 7200
"""Seconds for which a browser keeps the response to a preflight; Chromium keeps none for longer."""


class CrossOriginSharing(CORSMiddleware):
    """Lets pages of allowed origins send any request headers and read responses, without cookies.

    Responses to other origins have no CORS headers. All vary by Origin.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("*",),  # returns the names that the preflight lists
            allow_private_network=True,
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )

    def is_allowed_origin(self, origin: str) -> bool:
        return is_allowed(origin, self.allow_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [value for name, value in scope.get("headers", ()) if name == b"origin"]
        if given and not (len(given) == 1 and self.is_allowed_origin(given[0].decode("latin-1"))):
            await self.simple_response(scope, receive, send, request_headers=Headers())
        else:
            await super().__call__(scope, receive, send)
