"""An application that answers a POST to GraphQL at once, past the routing and the middleware around it.

These cost such a request more than the answer does, and would change nothing about it: GraphQL's answers have
the security headers by themselves, and only pages of other origins need what the middleware adds, if they may
ask at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from api.transport.http import AtOnce, GraphQLOverHTTP


class Shortcut(Starlette):
    """Starlette's, but for a POST to `path`; with `pages`, those that pages send go through it too."""

    def __init__(
        self, path: str, endpoint: GraphQLOverHTTP, *, pages: bool, **options: Any
    ) -> None:
        super().__init__(**options)
        self._path = path
        self._endpoint = endpoint
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_plain(scope):
            await self._endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def at_once(self, scope: Scope) -> AtOnce | None:
        """What answers the bodies behind a head, if there is no more to it than that."""
        return self._endpoint.at_once(scope) if self._is_plain(scope) else None

    def _is_plain(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"] == self._path
            and not scope.get("root_path")
            and not (self._pages and any(name == b"origin" for name, _ in scope["headers"]))
        )
