"""How uvicorn serves the application: with protocols that wait for nobody for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uvicorn

from api.connections.http import HTTPConnection
from api.connections.straight import Heads, Proxies
from api.connections.websocket import WebSocketConnection

if TYPE_CHECKING:
    from starlette.applications import Starlette


def config(app: Starlette, **options: Any) -> uvicorn.Config:
    """uvicorn's configuration. The protocols find in the state of the application its limits, and what of it
    answers bodies at once, if anything does.
    """
    limits = app.state.limits
    made = uvicorn.Config(
        app,
        http=HTTPConnection,
        ws=WebSocketConnection,
        ws_max_size=limits.body_bytes,
        ws_per_message_deflate=False,  # a few bytes may decompress to very many
        ws_ping_interval=limits.ping_seconds,
        ws_ping_timeout=limits.ping_seconds,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        **options,
    )
    made.limits = limits  # type: ignore[attr-defined]
    made.heads = Heads(getattr(app.state, "at_once", _never))  # type: ignore[attr-defined]
    made.proxies = Proxies(made)  # type: ignore[attr-defined]
    return made


def _never(_: Any) -> None:
    """Answers nothing at once."""
