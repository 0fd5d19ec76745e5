"""The web applications: which path is handled by what."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Lifespan

from api import graphiql
from api.auth.access import Access
from api.auth.cors import CrossOriginSharing
from api.auth.security_headers import SecurityHeaders
from api.engine.documents.registered import RegisteredDocuments
from api.engine.execution.configuration import EngineConfiguration
from api.engine.execution.executor import Executor
from api.engine.execution.registering_executor import RegisteringExecutor
from api.errors import RequestError
from api.http import stream_token_endpoint
from api.http.compression import CompressedGraphQLOverHTTP
from api.http.graphql_http import GraphQLOverHTTP, HTTPOptions
from api.http.graphql_ws import GraphQLOverWebSocket
from api.observability import status_page
from api.observability.routes import LIVEZ, Guard, Monitoring
from api.resolvers.context import Context
from api.schema.merged import CONVERTER, SCHEMA, sdl


def create_app(
    context: Context,
    configuration: EngineConfiguration,
    access: Access | None = None,
    monitoring: Monitoring | None = None,
    *,
    http: HTTPOptions | None = None,
    registered: RegisteredDocuments | None = None,
    federation: bool = False,
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """Returns the API application. Setting `state.closing` ends open streams.

    `registered` are the documents that clients may register; by default they may register none.
    """
    access = replace(access or Access(), registers_documents=registered is not None)
    schema = (SCHEMA, CONVERTER)
    if federation:
        from api.schema.federation import subgraph

        schema = subgraph(introspection=configuration.introspection)
    engine = (*schema, context, configuration, access.rate)
    executor = Executor(*engine) if registered is None else RegisteringExecutor(*engine, registered)
    closing = asyncio.Event()
    page = graphiql.page if access.graphiql else None
    http = http or HTTPOptions()
    endpoint = CompressedGraphQLOverHTTP if http.compress_above else GraphQLOverHTTP
    over_http = endpoint(executor, configuration.limits, access, page, closing, http)
    over_websocket = GraphQLOverWebSocket(executor, configuration.limits, access)
    app = Starlette(
        routes=[
            Route("/graphql", over_http),
            Route("/graphql/", _without_slash, methods=["GET", "POST"]),
            WebSocketRoute("/graphql", over_websocket),
            *stream_token_endpoint.routes(access, executor),
            *([Route("/schema.graphql", _schema)] if configuration.introspection else []),
            *(
                [*monitoring.routes(_guard(access)), *status_page.routes(monitoring, access)]
                if monitoring
                else [LIVEZ]
            ),
            *(graphiql.routes() if access.graphiql else []),
        ],
        middleware=[Middleware(SecurityHeaders), *_cors(access)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # its target is the client's Host header
    app.state.executor = executor
    app.state.graphql = over_http
    app.state.limits = configuration.limits
    app.state.closing = closing
    return app


def _guard(access: Access) -> Guard:
    async def guard(request: Request) -> Response | None:
        try:
            await access.check_operator(request.scope)
        except RequestError as error:
            lines = filter(None, [error.header])
            headers = {name.decode(): value.decode() for name, value in lines}
            return PlainTextResponse(f"{error}\n", error.status, headers)
        return None

    return guard


def _cors(access: Access) -> list[Middleware]:
    """Allows the configured origins to send requests without cookies and to read the responses."""
    return [Middleware(CrossOriginSharing, origins=access.origins)] if access.origins else []


async def _without_slash(request: Request) -> Response:
    """Redirects to a relative path, which keeps a prefix that a proxy has removed."""
    query = request.scope["query_string"].decode("latin-1")
    location = f"../graphql?{query}" if query else "../graphql"
    return Response(status_code=307, headers={"location": location})


async def _schema(_: Request) -> PlainTextResponse:
    return PlainTextResponse(sdl())
