"""An application that answers a POST to GraphQL at once, past the routing and the middleware around it.

These cost such a request more than the answer does, and would change nothing about it: GraphQL's answers have
the security headers by themselves, and only a page of another origin needs what the middleware adds to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Shortcut(Starlette):
    """Starlette's application, but for a POST to `path` by anybody who is no page."""

    def __init__(self, path: str, endpoint: ASGIApp, **options: Any) -> None:
        super().__init__(**options)
        self._path = path
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_plain(scope):
            await self._endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _is_plain(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"] == self._path
            and not scope.get("root_path")
            and all(name != b"origin" for name, _ in scope["headers"])
        )
