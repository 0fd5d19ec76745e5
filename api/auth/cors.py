"""Cross-origin resource sharing (CORS) for pages of ALLOWED_ORIGINS."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.web_origin import is_allowed

EXPOSED: Final = ("retry-after", "traceparent", "www-authenticate")
"""Response headers that a page may read, besides the CORS-safelisted ones of the Fetch standard."""

PREFLIGHT_SECONDS: Final = 7200
"""Seconds for which a browser keeps the response to a preflight; Chromium keeps none for longer."""


class CrossOriginSharing(CORSMiddleware):
    """Allows pages of allowed origins any request headers and the responses, without cookies.

    Responses to other origins have no CORS headers. All responses vary by Origin.
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
        origins = [value for name, value in scope.get("headers", ()) if name == b"origin"]
        if origins and not (
            len(origins) == 1 and self.is_allowed_origin(origins[0].decode("latin-1"))
        ):
            await self.simple_response(scope, receive, send, request_headers=Headers())
        else:
            await super().__call__(scope, receive, send)
