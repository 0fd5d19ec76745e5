"""The status page at /: a live picture of an event's path through the pipeline.

page.html, page.css and page.js are served unchanged; feed.py sends what they show once a second. Neither
contains personal data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from api.auth.access import Access
from api.observability.routes import Monitoring
from api.observability.status_page.feed import Feed

_DIRECTORY = Path(__file__).parent
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
}


def routes(monitoring: Monitoring, access: Access) -> list[BaseRoute]:
    return [
        Route("/", _file("page.html", "text/html")),
        Route("/status/page.css", _file("page.css", "text/css")),
        Route("/status/page.js", _file("page.js", "text/javascript")),
        Route("/status/feed", Feed(monitoring, access)),
    ]


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (_DIRECTORY / name).read_bytes()

    async def respond(_: Request) -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return respond
