"""Requests of pages of another origin are refused, unless a setting names the origin."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from websockets.asyncio.client import connect
from websockets.typing import Origin

from api.auth.access import Access
from api.auth.csrf import combine_headers
from api.settings import Settings
from tests.api.http.test_graphql_ws import INIT, PROTOCOL, closed, heard, tell
from tests.api.in_memory_app import edge, served

HELLO = "{ __typename }"
APP = "https://app.example.com"
EVIL = "https://evil.example.com"
CROSS = {"sec-fetch-site": "cross-site"}
UNSURE = [
    "/",
    "foo",
    ";",
    "*/*",
    "application/",
    "/json",
    "application",
    "application/jsonx",
    "application/json+x",
    "application/graphql",
    "application/graphql+json",
    "application/graphql-response+json",
    "text/json",
    "multipart/form-data; boundary=application/json",
    "application/json, text/plain",
    "application/json,text/plain",
    "text/plain, application/json",
    "application/json, application/json",
    "application/json; a=b, text/plain",
    ", application/json",
    "application /json",
    "\x0bapplication/json",
]
"""Values of Content-Type that may reach us from a page without a preflight, now or in an old browser."""


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
        {**CROSS, "content-type": "Application/JSON ; charset=utf-8; a=b"},
        {"sec-fetch-site": "same-site", "content-type": "application/json"},
        {"sec-fetch-site": "same-origin", "content-type": "text/plain"},
        {"sec-fetch-site": "same-origin", "content-type": "foo"},
        {"sec-fetch-site": "same-origin", "origin": "http://tandem", "cookie": "a=b"},
    ],
)
async def test_a_get_of_the_same_origin_or_with_a_preflight_or_of_no_browser_is_executed(
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
        *({**CROSS, "content-type": wrong} for wrong in UNSURE),
        {"sec-fetch-site": "same-site", "content-type": "foo"},
        {"origin": EVIL, "content-type": "foo"},
        {"referer": EVIL, "content-type": "/"},
        {"sec-fetch-site": "same-origin, none"},
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


@pytest.mark.parametrize(
    "repeated",
    [
        [("content-type", "application/json"), ("content-type", "application/json")],
        [("content-type", "text/plain"), ("content-type", "application/json")],
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("origin", EVIL), ("origin", APP)],
        [("origin", APP), ("origin", APP)],
        [("sec-fetch-site", "none"), ("sec-fetch-site", "same-origin")],
    ],
)
async def test_a_repeated_header_proves_nothing(repeated: list[tuple[str, str]]) -> None:
    site = [] if repeated[0][0] == "sec-fetch-site" else [("sec-fetch-site", "cross-site")]
    async with edge(access=Access(origins=(APP,))) as made:
        response = await made.client.get(
            "/graphql", params={"query": HELLO}, headers=[*site, *repeated]
        )
        assert response.status_code == 403
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        *([("content-type", wrong)] for wrong in UNSURE),
        [("content-type", "text/plain")],
        [("content-type", "application/x-www-form-urlencoded")],
        [("content-type", "text/plain"), ("content-type", "application/json")],
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("content-type", "application/json"), ("content-type", "application/json")],
    ],
)
async def test_a_post_that_a_page_can_send_without_a_preflight_is_415(
    headers: list[tuple[str, str]], accept: str
) -> None:
    body = '{"query": "mutation { eraseUser(input: {userId: \\"x\\"}) { id } }"}'
    async with edge() as made:
        response = await made.client.post(
            "/graphql", content=body, headers=[("accept", accept), *headers]
        )
        assert response.status_code == 415
        assert made.store.commands == []


async def test_a_repeated_header_is_seen_by_the_server_too() -> None:
    types = [("content-type", "text/plain"), ("content-type", "application/json")]
    async with edge() as made, served(made.app) as host, httpx.AsyncClient() as client:
        url = f"http://{host}/graphql"
        for order in (types, types[::-1]):
            posted = await client.post(url, content='{"query": "{ __typename }"}', headers=order)
            assert posted.status_code == 415
            headers = [("origin", EVIL), *order]
            got = await client.get(url, params={"query": HELLO}, headers=headers)
            assert got.status_code == 403


async def test_the_page_of_graphiql_opens_from_a_link_on_any_site() -> None:
    async with edge() as made:
        headers = {**CROSS, "accept": "text/html"}
        response = await made.client.get("/graphql", headers=headers)
        assert response.headers["content-type"].startswith("text/")


async def test_no_other_origin_is_allowed_by_default() -> None:
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


ASKED = "apollographql-client-name, traceparent, tracestate, baggage, sentry-trace, x-request-id"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("requested", [ASKED, "cache-control,pragma", "X-Anything-At-All", None])
async def test_a_preflight_of_an_allowed_origin_succeeds_for_any_headers(
    requested: str | None, method: str
) -> None:
    headers = {"origin": APP, "access-control-request-method": method}
    if requested is not None:
        headers["access-control-request-headers"] = requested
    async with edge(access=Access(origins=(APP,))) as made:
        response = await made.client.options("/graphql", headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers.get("access-control-allow-headers") == requested
    assert method in response.headers["access-control-allow-methods"].split(", ")
    assert response.headers["access-control-max-age"] == "7200"
    assert varies_by(response) >= {
        "origin",
        "access-control-request-headers",
        "access-control-request-method",
    }


async def test_a_preflight_of_an_allowed_origin_may_reach_a_private_network() -> None:
    headers = {
        "origin": APP,
        "access-control-request-method": "POST",
        "access-control-request-private-network": "true",
    }
    async with edge(access=Access(origins=(APP,))) as made:
        response = await made.client.options("/graphql", headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("origin", [EVIL, "null", "*", "", f"{APP}.evil.com", f"{APP}, {APP}"])
async def test_another_origin_gets_no_cors_header_at_all(origin: str) -> None:
    headers = {"origin": origin}
    preflight = {
        **headers,
        "access-control-request-method": "POST",
        "access-control-request-headers": ASKED,
        "access-control-request-private-network": "true",
    }
    async with edge(access=Access(origins=(APP,))) as made:
        for response in (
            await made.client.options("/graphql", headers=preflight),
            await made.post(HELLO, headers=headers),
            await made.client.get("/graphql", params={"query": HELLO}, headers=headers),
            await made.client.get("/livez", headers=headers),
        ):
            assert not [name for name in response.headers if name.startswith("access-control")]
            assert "origin" in varies_by(response)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/graphql", '{"query": "{ __typename }"}', 200),
        ("POST", "/graphql", '{"query": "{"}', 200),
        ("POST", "/graphql", "{", 400),
        ("POST", "/graphql", "x" * 300_000, 413),
        ("PUT", "/graphql", "", 405),
        ("GET", "/graphql?query={", "", 200),
        ("GET", "/nowhere", "", 404),
        ("GET", "/schema.graphql", "", 200),
    ],
)
async def test_a_page_of_an_allowed_origin_reads_every_response_and_its_headers(
    method: str, path: str, body: str, status: int
) -> None:
    headers = {"origin": APP, "content-type": "application/json"}
    async with edge(access=Access(origins=(APP,))) as made:
        response = await made.client.request(method, path, content=body, headers=headers)
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == APP
    exposed = set(response.headers["access-control-expose-headers"].split(", "))
    assert {"retry-after", "traceparent", "www-authenticate"} <= exposed
    assert "origin" in varies_by(response)


SAME_ORIGINS = [
    ("https://x.example", "x.example"),
    ("https://x.example", "x.example:443"),
    ("https://x.example:443", "x.example"),
    ("http://x.example", "x.example"),
    ("http://x.example", "x.example:80"),
    ("http://x.example:80", "x.example"),
    ("https://x.example:8443", "x.example:8443"),
    ("https://X.example", "x.EXAMPLE:443"),
    ("https://[::1]", "[::1]:443"),
    ("http://[2001:DB8::1]:80", "[2001:db8::1]"),
    ("http://127.0.0.1", "127.0.0.1:80"),
    ("https://x.example.", "x.example.:443"),
]
OTHER_ORIGINS = [
    ("https://x.example", "x.example:80"),
    ("http://x.example", "x.example:443"),
    ("https://x.example:444", "x.example"),
    ("https://x.example:4430", "x.example:443"),
    ("https://x.example", "y.example:443"),
    ("https://x.example", "x.example."),
    ("https://x.example", ""),
    ("https://x.example@y.example", "y.example"),
    ("https://x.example/", "x.example"),
    ("https://[::1]", "[::2]:443"),
    ("capacitor://localhost", "localhost"),
    ("chrome-extension://localhost", "localhost"),
    ("file://localhost", "localhost"),
    ("https://", ""),
    ("null", "null"),
]


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [*((*pair, True) for pair in SAME_ORIGINS), *((*pair, False) for pair in OTHER_ORIGINS)],
)
def test_a_page_of_our_own_host_may_name_the_default_port_or_leave_it_out(
    origin: str, host: str, own: bool
) -> None:
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    assert Access().allows_websocket(combine_headers(headers)) is own
    assert not Access().allows_websocket(combine_headers([*headers, (b"origin", origin.encode())]))
    if own:
        assert not Access().allows_websocket(combine_headers([*headers, (b"host", host.encode())]))


NAMED = [
    (APP, APP),
    (f"{APP}:443", APP),
    (APP, f"{APP}:443"),
    ("http://app.example.com:80", "http://app.example.com"),
    ("http://app.example.com", "http://app.example.com:80"),
    ("http://localhost:3000", "http://localhost:3000"),
    ("http://[::1]:3000", "http://[::1]:3000"),
    ("capacitor://localhost", "capacitor://localhost"),
    ("ionic://localhost", "ionic://localhost"),
    ("tauri://localhost", "tauri://localhost"),
    ("https://tauri.localhost", "https://tauri.localhost"),
    ("app://bundle", "app://bundle"),
    (f"chrome-extension://{'abcdefgh' * 4}", f"chrome-extension://{'abcdefgh' * 4}"),
    (
        "moz-extension://1b0c9e7d-4e7b-4b8a-9a51-0a6f3c1d2e4f",
        "moz-extension://1b0c9e7d-4e7b-4b8a-9a51-0a6f3c1d2e4f",
    ),
    (
        "safari-web-extension://1b0c9e7d-4e7b-4b8a-9a51-0a6f3c1d2e4f",
        "safari-web-extension://1B0C9E7D-4E7B-4B8A-9A51-0A6F3C1D2E4F",
    ),
]


@pytest.mark.parametrize(("named", "origin"), NAMED)
async def test_an_origin_of_any_scheme_is_allowed_by_its_name_with_or_without_the_default_port(
    named: str, origin: str
) -> None:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    for origins in ((named,), Settings(allowed_origins=(named,)).allowed_origins or ()):
        async with edge(access=Access(origins=origins)) as made:
            preflight = await made.client.options("/graphql", headers=asked)
            posted = await made.post(HELLO, headers={"origin": origin})
            got = await made.client.get(
                "/graphql", params={"query": HELLO}, headers={**CROSS, "origin": origin}
            )
        for response in (preflight, posted, got):
            assert response.status_code == 200
            assert response.headers["access-control-allow-origin"] == origin
        page = [(b"host", b"tandem"), (b"origin", origin.encode())]
        assert Access(origins=origins).allows_websocket(combine_headers(page))


@pytest.mark.parametrize(
    ("named", "origin"),
    [
        (APP, f"{APP}:80"),
        (APP, "http://app.example.com:443"),
        ("http://app.example.com", f"{APP}:80"),
        ("capacitor://localhost", "ionic://localhost"),
        ("capacitor://localhost", "http://localhost"),
        ("http://localhost", "capacitor://localhost"),
        ("http://localhost:3000", "http://localhost"),
        ("app://bundle", "app://bundle:80"),
    ],
)
def test_another_port_or_scheme_is_another_origin(named: str, origin: str) -> None:
    page = {b"host": b"tandem", b"origin": origin.encode()}
    assert not Access(origins=(named,)).allows_websocket(page)


def varies_by(response: httpx.Response) -> set[str]:
    return set(response.headers.get("vary", "").lower().split(", "))


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
    ("origin", "why"),
    [
        ("*", "would allow pages that are not listed"),
        ("null", "sandboxed frames and local files of any site"),
        ("app.example.com", "has no scheme"),
        ("localhost:3000", "has no scheme"),
        (f"{APP}/", "ends in a slash"),
        (f"{APP}/x", "has a path"),
        (f"{APP}?x", "has a path, a query"),
        (f"{APP}#x", "a fragment"),
        ("https://*.example.com", "list each origin by name"),
        ("http://localhost:*", "list each origin by name"),
        ("https://", "cannot be read"),
        ("://app.example.com", "cannot be read"),
        (f"{APP}:", "cannot be read"),
        (f"{APP}:65536", "cannot be read"),
        (f"{APP}:x", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https://a@app.example.com", "has a user name"),
        ("https://bücher.example", "Punycode"),
        ("file://", "send null for such pages"),
        ("file:///index.html", "send null for such pages"),
        ("data:text/html", "send null for such pages"),
        (APP.upper(), "has capital letters"),
    ],
)
def test_an_origin_that_cannot_be_allowed_is_refused_with_the_reason(origin: str, why: str) -> None:
    with pytest.raises(ValidationError, match="an origin is https://host") as refused:
        Settings(allowed_origins=(origin,))
    assert why in str(refused.value)


def test_origins_are_stored_as_browsers_write_them() -> None:
    given = (f"{APP}:443", "http://localhost:80", "http://[::1]:3000", "capacitor://localhost")
    kept = (APP, "http://localhost", "http://[::1]:3000", "capacitor://localhost")
    assert Settings(allowed_origins=given).allowed_origins == kept


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
async def test_without_tokens_a_name_that_may_be_rebound_to_this_machine_is_forbidden(
    host: str, status: int
) -> None:
    async with edge(access=Access(local_only=True)) as made:
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
    async with edge(access=Access(local_only=True)) as made, served(made.app) as host:
        address, port = host.split(":")
        async with connect(
            f"ws://{name}:{port}/graphql", host=address, subprotocols=[PROTOCOL]
        ) as socket:
            if passes:
                await tell(socket, INIT)
                assert await heard(socket) == {"type": "connection_ack"}
            else:
                assert (await closed(socket))[0] == 4403


def test_any_host_name_is_accepted_only_if_the_settings_say_so() -> None:
    assert Settings().local_only
    for settings in (Settings(allow_anonymous=True), Settings(auth_secret=SecretStr("x" * 32))):
        assert not settings.local_only
