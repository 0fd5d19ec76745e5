"""Security headers of every response, and what production hides."""

from __future__ import annotations

import httpx
import pytest

from api import graphiql
from api.auth.access import Access
from api.auth.security_headers import SECURITY_HEADERS
from api.http.protocols.server_config import uvicorn_config
from api.settings import Settings
from tests.api.in_memory_app import edge, served_by

PAGE = {"accept": "text/html,*/*;q=0.1"}


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", {}),
        ("GET", "/graphql?query={__typename}", {}),
        ("GET", "/graphql?query={__typename}", {"accept": "text/event-stream"}),
        ("GET", "/graphql?query={", {}),
        ("GET", "/graphql", PAGE),
        ("PUT", "/graphql", {}),
        ("GET", "/schema.graphql", {}),
        ("GET", "/livez", {}),
        ("GET", "/nowhere", {}),
        ("GET", "/graphiql/nothing.js", {}),
        ("POST", "/livez", {}),
    ],
)
async def test_every_response_has_the_security_headers_once(
    method: str, path: str, headers: dict[str, str]
) -> None:
    async with edge() as made:
        response = await made.client.request(method, path, headers=headers)
        for name, value in SECURITY_HEADERS:
            [given] = response.headers.get_list(name.decode())
            if name not in {b"content-security-policy", b"cache-control"}:
                assert given == value.decode()


async def test_no_response_may_be_cached() -> None:
    async with edge() as made:
        for accept in ("application/json", "text/event-stream"):
            response = await made.post("{ __typename }", headers={"accept": accept})
            assert response.headers["cache-control"] == "no-store"


async def test_the_page_keeps_its_own_policy() -> None:
    if not graphiql.DIST.is_dir():
        pytest.skip("GraphiQL was not built with this installation")
    async with edge() as made:
        response = await made.client.get("/graphql", headers=PAGE)
        assert response.headers["content-security-policy"] == graphiql.POLICY


async def test_no_response_names_its_server() -> None:
    async with edge() as made, served_by(uvicorn_config(made.app)) as host:
        async with httpx.AsyncClient() as client:
            response = await client.get(f"http://{host}/livez")
        assert "server" not in response.headers


async def test_without_graphiql_its_address_serves_graphql_only() -> None:
    async with edge(access=Access(graphiql=False)) as made:
        page = await made.client.get("/graphql", headers=PAGE)
        assert page.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}
        asked = await made.client.get("/graphql?query={__typename}", headers=PAGE)
        assert asked.json() == {"data": {"__typename": "Query"}}
        assert (await made.client.get("/graphiql/index.js")).status_code == 404


@pytest.mark.parametrize(
    ("env", "switch", "shown"),
    [
        ("development", None, True),
        ("production", None, False),
        ("production", "true", True),
        ("development", "false", False),
    ],
)
def test_the_schema_and_graphiql_are_hidden_in_production_unless_introspection_is_on(
    monkeypatch: pytest.MonkeyPatch, env: str, switch: str | None, shown: bool
) -> None:
    monkeypatch.setenv("TANDEM_ENV", env)
    if switch is not None:
        monkeypatch.setenv("INTROSPECTION", switch)
    assert Settings().shows_schema is shown
