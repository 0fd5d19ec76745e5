"""What a page of another origin can make a browser do here: nothing, unless a setting names its origin."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError
from websockets.asyncio.client import connect
from websockets.typing import Origin

from api.access.door import Access
from api.settings import Settings
from tests.api.edge import edge, served
from tests.api.test_websocket import INIT, PROTOCOL, closed, heard, tell

HELLO = "{ __typename }"
APP = "https://app.example.com"
EVIL = "https://evil.example.com"
CROSS = {"sec-fetch-site": "cross-site"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-mode": "cors"},
        {**CROSS, "graphql-preflight": "1"},
        {**CROSS, "apollo-require-preflight": "true"},
        {**CROSS, "x-apollo-operation-name": "A"},
        {**CROSS, "x-requested-with": "fetch"},
        {**CROSS, "content-type": "application/json"},
        {"sec-fetch-site": "same-origin", "origin": "http://tandem", "cookie": "a=b"},
    ],
)
async def test_a_get_of_our_own_page_or_with_a_preflight_or_of_no_browser_is_answered(
    headers: dict[str, str],
) -> None:
    async with edge() as made:
        response = await made.client.get("/graphql", params={"query": HELLO}, headers=headers)
        assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("accept", ["*/*", "text/html,*/*;q=0.8", "text/event-stream"])
@pytest.mark.parametrize(
    "headers",
    [
        CROSS,
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "nonsense"},
        {"sec-fetch-mode": "no-cors"},
        {"sec-fetch-mode": "navigate"},
        {"sec-fetch-mode": "cors", **CROSS},
        {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {"sec-fetch-mode": "cors", "origin": EVIL},
        {"sec-fetch-mode": "cors", "referer": EVIL},
        {"origin": EVIL},
        {"origin": "null"},
        {"referer": EVIL},
        {"cookie": "a=b"},
        {**CROSS, "content-type": "text/plain"},
        {**CROSS, "content-type": "text/plain; application/json"},
        {**CROSS, "content-type": "application/x-www-form-urlencoded"},
        {**CROSS, "content-type": ""},
    ],
)
async def test_a_get_that_another_sites_page_may_have_caused_is_forbidden(
    headers: dict[str, str], accept: str
) -> None:
    async with edge() as made:
        headers = {**headers, "accept": accept}
        response = await made.client.get("/graphql", params={"query": HELLO}, headers=headers)
        assert response.status_code == 403
        [error] = response.json()["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}


async def test_the_page_of_graphiql_opens_from_a_link_on_any_site() -> None:
    async with edge() as made:
        headers = {**CROSS, "accept": "text/html"}
        response = await made.client.get("/graphql", headers=headers)
        assert response.headers["content-type"].startswith("text/")


async def test_no_other_origin_is_let_in_by_default() -> None:
    async with edge() as made:
        asked = {"origin": APP, "access-control-request-method": "POST"}
        preflight = await made.client.options("/graphql", headers=asked)
        answer = await made.post(HELLO, headers={"origin": APP})
        assert preflight.status_code == 405
        for response in (preflight, answer):
            assert not [name for name in response.headers if name.startswith("access-control")]


async def test_an_allowed_origin_may_ask_and_read_and_no_other_may() -> None:
    async with edge(access=Access(origins=(APP,))) as made:
        for origin, told in ((APP, APP), (EVIL, None), (f"{APP}.evil.com", None), ("null", None)):
            asked = {
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type, authorization",
            }
            preflight = await made.client.options("/graphql", headers=asked)
            answer = await made.post(HELLO, headers={"origin": origin})
            for response in (preflight, answer):
                assert response.headers.get("access-control-allow-origin") == told
                assert "access-control-allow-credentials" not in response.headers
            got = await made.client.get(
                "/graphql", params={"query": HELLO}, headers={**CROSS, "origin": origin}
            )
            assert got.status_code == (200 if told else 403)


@pytest.mark.parametrize("origin", [EVIL, "null", "", "http://127.0.0.1", "//{host}"])
async def test_a_websocket_of_another_sites_page_closes_with_4403(origin: str) -> None:
    async with edge() as made, served(made.app) as host:
        headers = {"origin": origin.format(host=host)}
        async with connect(
            f"ws://{host}/graphql", subprotocols=[PROTOCOL], additional_headers=headers
        ) as socket:
            assert (await closed(socket))[0] == 4403


@pytest.mark.parametrize("origin", ["http://{host}", "https://{host}", APP])
async def test_a_websocket_of_our_own_page_or_of_an_allowed_origin_is_served(origin: str) -> None:
    async with (
        edge(access=Access(origins=(APP,))) as made,
        served(made.app) as host,
        connect(
            f"ws://{host}/graphql",
            subprotocols=[PROTOCOL],
            origin=Origin(origin.format(host=host)),
        ) as socket,
    ):
        await tell(socket, INIT)
        assert await heard(socket) == {"type": "connection_ack"}


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "app.example.com",
        f"{APP}/",
        f"{APP}/x",
        "https://*.example.com",
        "https://",
        APP.upper(),
    ],
)
def test_an_origin_in_the_settings_is_exact(origin: str) -> None:
    with pytest.raises(ValidationError, match="an origin is https://host"):
        Settings(allowed_origins=(origin,))


def test_origins_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", f"{APP}, http://localhost:3000")
    assert Settings().allowed_origins == (APP, "http://localhost:3000")


HERE = ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "10.1.2.3", "[::1]", "[::1]:8000"]
ELSEWHERE = [
    "evil.example.com",
    "evil.example.com:8000",
    "127.0.0.1.evil.example.com",
    "",
    "[",
    "localhost.",
]


@pytest.mark.parametrize(
    ("host", "status"), [*((h, 200) for h in HERE), *((h, 403) for h in ELSEWHERE)]
)
async def test_without_tokens_a_name_that_may_be_bound_to_us_anew_is_forbidden(
    host: str, status: int
) -> None:
    async with edge(access=Access(local=True)) as made:
        for ask in (
            made.post(HELLO, headers={"host": host}),
            made.client.get("/graphql", params={"query": HELLO}, headers={"host": host}),
        ):
            response = await ask
            assert response.status_code == status
            if status == 403:
                assert response.json()["errors"][0]["extensions"] == {"code": "FORBIDDEN"}


@pytest.mark.parametrize(("name", "passes"), [("localhost", True), ("evil.example.com", False)])
async def test_the_same_holds_for_a_websocket(name: str, passes: bool) -> None:
    async with edge(access=Access(local=True)) as made, served(made.app) as host:
        address, port = host.split(":")
        async with connect(
            f"ws://{name}:{port}/graphql", host=address, subprotocols=[PROTOCOL]
        ) as socket:
            if passes:
                await tell(socket, INIT)
                assert await heard(socket) == {"type": "connection_ack"}
            else:
                assert (await closed(socket))[0] == 4403


def test_only_who_says_so_is_asked_for_by_any_name() -> None:
    assert Settings().local
    for settings in (Settings(allow_anonymous=True), Settings(auth_secret=SecretStr("x" * 32))):
        assert not settings.local
