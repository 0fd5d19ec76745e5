"""The web application: which address leads where."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from api import graphiql
from api.schema import SCHEMA, sdl
from api.transport.execution import Executor
from api.transport.http import GraphQLOverHTTP
from api.transport.websocket import GraphQLOverWebSocket

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Lifespan

    from api.context import Context


def create_app(context: Context, *, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """The application over these stores. Setting `state.closing` ends the streams that are open."""
    executor = Executor(SCHEMA, context)
    closing = asyncio.Event()
    over_http = GraphQLOverHTTP(
        executor, context.limits, graphiql.page, closing, context.http_profile
    )
    over_websocket = GraphQLOverWebSocket(executor, context.limits)
    app = Starlette(
        routes=[
            Route("/graphql", over_http),
            WebSocketRoute("/graphql", over_websocket),
            *([Route("/schema.graphql", _schema)] if context.introspection else []),
            Route("/livez", _livez),
            *graphiql.routes(),
        ],
        lifespan=lifespan,
    )
    app.state.executor = executor
    app.state.limits = context.limits
    app.state.closing = closing
    return app


async def _schema(_: Request) -> PlainTextResponse:
    return PlainTextResponse(sdl())


async def _livez(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")
