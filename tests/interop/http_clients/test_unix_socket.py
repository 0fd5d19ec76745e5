"""The service behind nginx and HAProxy on a Unix socket, and curl without a proxy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

from api.auth.csrf import is_local_client
from api.http.protocols.server_config import uvicorn_config
from api.runtime.unix_socket import UnixListener
from tests.api.in_memory_app import edge, running_on
from tests.interop.http_clients.proxies import CONFIGURATIONS, proxied
from tests.interop.http_clients.test_http_clients import said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

    from tests.interop.http_clients.conftest import Installed

BODY = {"query": "{ __typename }"}
DATA = {"data": {"__typename": "Query"}}


async def _client(request: Request) -> PlainTextResponse:
    """Returns the address of the client, and whether it may see what an operator sees."""
    return PlainTextResponse(f"{request.scope['client'][0]} {is_local_client(request.scope)}")


@pytest.fixture
async def unix_socket(place: Path) -> AsyncIterator[Path]:
    path = place / "api.sock"
    async with edge() as made:
        made.app.router.routes.insert(0, Route("/client", _client))
        config = uvicorn_config(made.app, log_level="warning")
        async with running_on(UnixListener.bind_to(str(path)), config):
            yield path


@pytest.mark.parametrize("name", ["nginx", "nginx for WebSockets", "haproxy"])
async def test_a_proxy_passes_requests_and_the_address_of_its_client_is_trusted(
    name: str, unix_socket: Path, installed: Installed, place: Path
) -> None:
    configuration = CONFIGURATIONS[name]
    program = installed(configuration.program)
    async with (
        proxied(configuration, program, unix_socket, place) as proxy,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}") as http,
    ):
        for _ in range(5):
            assert (await http.post("/graphql", json=BODY)).json() == DATA
        forwarded = await http.get("/client", headers={"x-forwarded-for": "192.0.2.7"})
        assert forwarded.text == "192.0.2.7 False"
        if name != "nginx":
            url = f"ws://127.0.0.1:{proxy.port}/graphql"
            async with connect(url, subprotocols=["graphql-transport-ws"]) as websocket:  # type: ignore[list-item]
                await websocket.send('{"type": "connection_init"}')
                assert json.loads(await websocket.recv()) == {"type": "connection_ack"}


async def test_curl_is_a_client_of_this_machine(
    unix_socket: Path, installed: Installed, place: Path
) -> None:
    curl = (installed("curl"), "--silent", "--show-error", "--unix-socket", str(unix_socket))
    header = "content-type: application/json"
    [response] = await said(
        place, *curl, "-H", header, "-d", json.dumps(BODY), "http://localhost/graphql"
    )
    assert json.loads(response) == DATA
    [client] = await said(place, *curl, "http://localhost/client")
    assert client == "127.0.0.1 True"
