"""The page at /: the way of an event as a live picture, for whoever would rather look than read.

page.html, page.css and page.js are sent as they are; what they show comes from feed.py once a second. Neither
holds anybody's name or address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.routing import Route

from api.observability.status_page.feed import Feed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from api.auth.access import Access
    from api.observability.routes import Monitoring

_HERE = Path(__file__).parent
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS: Final = {"content-security-policy": _POLICY}


def routes(watch: Monitoring, access: Access) -> list[BaseRoute]:
    return [
        Route("/", _file("page.html", "text/html")),
        Route("/status/page.css", _file("page.css", "text/css")),
        Route("/status/page.js", _file("page.js", "text/javascript")),
        Route("/status/feed", Feed(watch, access)),
    ]


def _file(name: str, media: str) -> Callable[[Request], Awaitable[Response]]:
    content = (_HERE / name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=media, headers=_HEADERS)

    return answer
