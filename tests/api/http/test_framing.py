"""No byte of a body is ever taken for a request, and no request is ever lost: early responses, upgrades,
trailers and half-closed connections, in every framing and in any segments, over raw sockets.
"""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING

import pytest

from api.auth.access import Access
from tests.api.wire import HOST, JSON, chunks, create, head, request, wired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.api.wire import Response, Wired

SMUGGLED = create("smuggled@example.com")
GENUINE = create("genuine@example.com")
INNER = request(SMUGGLED)
"""A request within a body. Its head is sent as a request of its own before each case."""

EARLY = {
    "404": (b"POST /nope HTTP/1.1", [JSON], 404),
    "404 of a GET": (b"GET /nope HTTP/1.1", [], 404),
    "405": (b"PUT /graphql HTTP/1.1", [JSON], 405),
    "405 of livez": (b"POST /livez HTTP/1.1", [], 405),
    "406": (b"POST /graphql HTTP/1.1", [JSON, b"accept: image/png"], 406),
    "413": (b"POST /graphql HTTP/1.1", [JSON], 413),
    "415": (b"POST /graphql HTTP/1.1", [b"content-type: text/plain"], 415),
    "415 of a coding": (b"POST /graphql HTTP/1.1", [JSON, b"content-encoding: gzip"], 415),
    "417": (b"POST /graphql HTTP/1.1", [JSON, b"expect: a miracle"], 417),
    "a GET with a body": (b"GET /graphql?query=%7B__typename%7D HTTP/1.1", [], 200),
    "livez with a body": (b"GET /livez HTTP/1.1", [], 200),
    "a stream with a body": (
        b"GET /graphql?query=%7B__typename%7D HTTP/1.1",
        [b"accept: text/event-stream"],
        200,
    ),
    "OPTIONS": (b"OPTIONS * HTTP/1.1", [], 404),
    "a redirect": (b"POST /graphql/ HTTP/1.1", [JSON], 307),
}
"""Requests whose response needs no body."""

FRAMINGS: dict[str, Callable[[bytes], tuple[list[bytes], bytes]]] = {
    "a length": lambda body: ([b"content-length: %d" % len(body)], body),
    "a chunk": lambda body: ([b"transfer-encoding: chunked"], chunks(body)),
    "chunks": lambda body: (
        [b"transfer-encoding: chunked"],
        chunks(*(body[i : i + 7] for i in range(0, len(body), 7))),
    ),
    "chunks with extensions and trailers": lambda body: (
        [b"transfer-encoding: chunked"],
        chunks(body, extension=b";a=b", trailers=(b"x: y",)),
    ),
}

SEGMENTS: dict[str, Callable[[bytes, bytes, bytes], list[bytes]]] = {
    "one": lambda first, body, after: [first + body + after],
    "head and body": lambda first, body, after: [first, body + after],
    "head, body, what follows": lambda first, body, after: [first, body, after],
    "halves": lambda first, body, after: [
        first[:9],
        first[9:] + body[:20],
        body[20:-1],
        body[-1:] + after,
    ],
}

LARGE = 300_000
"""Bytes of a body that is longer than LIMIT_BODY_BYTES."""


def body_of(early: str) -> bytes:
    return INNER + b" " * LARGE if early == "413" else INNER * 2


async def warm(ask: Wired) -> None:
    """Sends the inner request as a real one, so that whatever may be remembered of it is."""
    assert [each.status for each in await ask(request(create("warm@example.com")))] == [200]


def check(ask: Wired, found: list[Response], expected: int, *, follows: bool) -> None:
    """One response for each request, or a connection that said that it closes."""
    assert "smuggled@example.com" not in ask.created
    assert found[0].status == expected
    if follows and len(found) == 2:
        assert not found[0].closes
        assert b"createUser" in found[1].body
        assert ask.created[-1] == "genuine@example.com"
    else:
        assert len(found) == 1
        assert found[0].closes or not follows


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("early", EARLY)
async def test_a_body_is_never_executed_though_its_response_came_first(
    early: str, framing: str
) -> None:
    line, headers, expected = EARLY[early]
    framing_headers, body = FRAMINGS[framing](body_of(early))
    first = head(line, *headers, *framing_headers)
    async with wired() as ask:
        await warm(ask)
        for cut, after in product(SEGMENTS.values(), (b"", request(GENUINE))):
            ask.edge.store.commands.clear()
            found = await ask(*cut(first, body, after))
            check(ask, found, expected, follows=bool(after))


@pytest.mark.parametrize("early", [early for early in EARLY if early != "413"])
async def test_a_body_that_is_sent_once_the_response_was_read_is_never_executed(early: str) -> None:
    line, headers, expected = EARLY[early]
    async with wired() as ask:
        await warm(ask)
        for make in FRAMINGS.values():
            framing_headers, body = make(INNER)
            ask.edge.store.commands.clear()
            async with ask.opened() as wire:
                await wire.send(head(line, *headers, *framing_headers))
                response = await wire.response()
                assert response is not None
                assert (response.status, response.closes) == (expected, True)
                await wire.send(body, request(GENUINE))
                assert await wire.response() is None
            assert ask.created == []


async def test_a_forbidden_page_sends_no_request_in_its_body() -> None:
    """Of a name that stands for this machine (DNS rebinding)."""
    async with wired(access=Access(local_only=True)) as ask:
        await warm(ask)
        ask.edge.store.commands.clear()
        for make in FRAMINGS.values():
            framing_headers, body = make(INNER)
            evil = head(b"POST /graphql HTTP/1.1", JSON, *framing_headers).replace(
                HOST, b"host: evil.example"
            )
            for segments in ([evil + body], [evil, body], [evil, body[:30], body[30:]]):
                found = await ask(*segments)
                assert [each.status for each in found] == [403]
        assert ask.created == []


UPGRADES = {
    "h2c": [b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAMAAABk"],
    "websocket": [b"connection: upgrade", b"upgrade: websocket"],
    "a whole handshake": [
        b"connection: keep-alive, Upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        b"sec-websocket-protocol: graphql-transport-ws",
    ],
    "TLS": [b"connection: upgrade", b"upgrade: TLS/1.0"],
    "two": [b"connection: upgrade", b"upgrade: h2c, websocket"],
    "two headers": [b"connection: upgrade", b"upgrade: websocket", b"upgrade: h2c"],
    "two headers, the other way": [b"connection: upgrade", b"upgrade: h2c", b"upgrade: websocket"],
    "nothing": [b"connection: upgrade", b"upgrade:"],
    "no connection": [b"upgrade: h2c"],
    "capitals": [b"CONNECTION: UPGRADE", b"UPGRADE: H2C"],
}


def upgrading(upgrade: str, query: str, framing: str) -> tuple[bytes, bytes]:
    body = request(query).partition(b"\r\n\r\n")[2]
    framing_headers, framed_body = FRAMINGS[framing](body)
    line = b"POST /graphql HTTP/1.1"
    return head(line, JSON, *UPGRADES[upgrade], *framing_headers), framed_body


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("upgrade", UPGRADES)
async def test_an_upgrade_that_is_not_performed_changes_nothing_about_a_request(
    upgrade: str, framing: str
) -> None:
    first, body = upgrading(upgrade, create("upgrading@example.com"), framing)
    async with wired() as ask:
        await warm(ask)
        for cut in SEGMENTS.values():
            ask.edge.store.commands.clear()
            found = await ask(*cut(first, body, request(GENUINE)))
            assert [each.status for each in found] == [200, 200]
            assert ask.created == ["upgrading@example.com", "genuine@example.com"]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("upgrade", UPGRADES)
async def test_a_body_after_an_upgrade_is_never_executed(upgrade: str, framing: str) -> None:
    framing_headers, body = FRAMINGS[framing](INNER)
    async with wired() as ask:
        await warm(ask)
        for line in (
            b"POST /nope HTTP/1.1",
            b"GET /graphql?query=%7B__typename%7D HTTP/1.1",
            b"POST /graphql HTTP/1.1",
        ):
            first = head(line, *UPGRADES[upgrade], *framing_headers)
            for cut, after in product(SEGMENTS.values(), (b"", request(GENUINE))):
                ask.edge.store.commands.clear()
                found = await ask(*cut(first, body, after))
                assert "smuggled@example.com" not in ask.created
                assert 1 <= len(found) <= 1 + bool(after)


@pytest.mark.parametrize("name", [b"connection", b"proxy-connection"])
async def test_a_trailer_that_closes_the_connection_loses_no_request_unsaid(name: bytes) -> None:
    """httptools obeys it."""
    body = request(create("closing@example.com")).partition(b"\r\n\r\n")[2]
    first = head(b"POST /graphql HTTP/1.1", JSON, b"transfer-encoding: chunked")
    for trailer in (b": close", b": keep-alive, Close"):
        async with wired() as ask:
            for cut in SEGMENTS.values():
                data = cut(first, chunks(body, trailers=(name + trailer,)), request(GENUINE))
                found = await ask(*data)
                assert found[0].status == 200
                assert found[0].closes or len(found) == 2


REFUSED = {
    "two hosts": head(b"GET /livez HTTP/1.1", b"host: b"),
    "an expectation": head(b"GET /livez HTTP/1.1", b"expect: a miracle"),
    "no HTTP": b"\x16\x03\x01\r\n\r\n",
    "an upgrade with two hosts": head(b"GET /livez HTTP/1.1", b"host: b", *UPGRADES["h2c"]),
    "fields": head(b"GET /livez HTTP/1.1", *[b"a: b"] * 200),
    "trailers": head(b"POST /livez HTTP/1.1", b"transfer-encoding: chunked")
    + chunks(b"a", trailers=(b"a: " + b"b" * 3_000,) * 4),
}


@pytest.mark.parametrize("refused", REFUSED)
@pytest.mark.parametrize("upgrade", UPGRADES)
async def test_a_refused_request_after_an_upgrade_takes_no_response_away(
    upgrade: str, refused: str
) -> None:
    first, body = upgrading(upgrade, create("upgrading@example.com"), "a length")
    async with wired() as ask:
        for cut in SEGMENTS.values():
            ask.edge.store.commands.clear()
            found = await ask(*cut(first, body, REFUSED[refused] + request(GENUINE)))
            assert found[0].status == 200
            assert found[1].status >= 400
            assert found[1].closes
            assert ask.created == ["upgrading@example.com"]


IGNORED = [
    b"host: evil.example",
    b"x-forwarded-for: 192.0.2.9",
    b"content-type: text/plain",
    b"authorization: Bearer x",
    b"accept: image/png",
    b"upgrade: h2c\r\nconnection: upgrade",
    b"expect: 100-continue",
    b"origin: https://evil.example",
    b"connection: keep-alive",
]
FRAMING = [b"content-length: 7", b"transfer-encoding: chunked", b"transfer-encoding: gzip"]
"""Trailers that a server which merges them into the headers would frame the message by."""


@pytest.mark.parametrize("trailer", IGNORED + FRAMING)
async def test_a_trailer_changes_nothing(trailer: bytes) -> None:
    body = request(create("trailing@example.com")).partition(b"\r\n\r\n")[2]
    first = head(b"POST /graphql HTTP/1.1", JSON, b"transfer-encoding: chunked")
    async with wired(access=Access(local_only=True)) as ask:
        for cut in SEGMENTS.values():
            ask.edge.store.commands.clear()
            found = await ask(*cut(first, chunks(body, trailers=(trailer,)), request(GENUINE)))
            if trailer in IGNORED:
                assert [each.status for each in found] == [200, 200]
                assert ask.created == ["trailing@example.com", "genuine@example.com"]
            else:
                assert [each.status for each in found] == [400]
                assert ask.created == []


def endless(kind: str) -> Iterator[bytes]:
    """Bytes that are repeated within one request, in segments of 1 KiB."""
    opening = head(b"POST /graphql HTTP/1.1", JSON, b"transfer-encoding: chunked")
    start, more = {
        "headers": (opening[:-2], b"a: b\r\n" * 170),
        "one header": (opening[:-2] + b"a: ", b"b" * 1_024),
        "blanks in a header": (opening[:-2] + b"a:", b" " * 1_024),
        "a target": (b"GET /", b"a" * 1_024),
        "trailers": (opening + b"1\r\n \r\n0\r\n", b"a: b\r\n" * 170),
        "one trailer": (opening + b"1\r\n \r\n0\r\na: ", b"b" * 1_024),
        "a chunk extension": (opening + b"1;a=", b"b" * 1_024),
        "chunk extensions": (opening, b"1;" + b"b" * 1_000 + b"\r\n \r\n"),
        "the digits of a chunk": (opening, b"0" * 1_024),
    }[kind]
    yield start
    while True:
        yield more


@pytest.mark.parametrize(
    "kind",
    [
        "headers",
        "one header",
        "blanks in a header",
        "a target",
        "trailers",
        "one trailer",
        "a chunk extension",
        "chunk extensions",
        "the digits of a chunk",
    ],
)
async def test_bytes_without_content_are_counted(kind: str) -> None:
    async with wired() as ask, ask.opened() as wire:
        sent = 0
        answer = asyncio.create_task(wire.response())
        for segment in endless(kind):
            if answer.done():
                break
            sent += len(segment)
            await wire.send(segment)
        response = await answer
        assert response is not None
        assert response.status == 431
        assert response.closes
        assert sent < 64 * 1024


@pytest.mark.parametrize(
    ("size", "fields", "status"),
    [(30_000, 1, 200), (33_000, 1, 431), (200_000, 1, 431), (3_000, 90, 200), (300, 100, 431)],
)
async def test_headers_have_32_kib_and_100_fields(size: int, fields: int, status: int) -> None:
    headers = [b"x-%d: " % number + b"a" * (size // fields) for number in range(fields)]
    async with wired() as ask:
        found = await ask(request("{ __typename }", *headers))
        assert [each.status for each in found] == [status]
        assert found[0].closes == (status == 431)


@pytest.mark.parametrize("size", [4_000, 7_900, 8_300, 30_000])
async def test_trailers_have_8_kib(size: int) -> None:
    body = request().partition(b"\r\n\r\n")[2]
    first = head(b"POST /graphql HTTP/1.1", JSON, b"transfer-encoding: chunked")
    async with wired() as ask:
        found = await ask(first + chunks(body, trailers=(b"x: " + b"a" * (size - 7),)))
        assert [each.status for each in found] == [200 if size <= 8_192 else 431]


HALF_CLOSED = {
    "a mutation": ([request(GENUINE)], [200]),
    "three": ([request(GENUINE) * 3], [200, 200, 200]),
    "in pieces": ([request(GENUINE)[:40], request(GENUINE)[40:]], [200]),
    "in chunks": (
        [
            head(b"POST /graphql HTTP/1.1", JSON, b"transfer-encoding: chunked")
            + chunks(request(GENUINE).partition(b"\r\n\r\n")[2])
        ],
        [200],
    ),
    "livez": ([head(b"GET /livez HTTP/1.1")], [200]),
    "a stream": (
        [request("{ __typename }", b"accept: text/event-stream")],
        [200],
    ),
    "HTTP/1.0": ([head(b"GET /livez HTTP/1.0")], [200]),
    "half a head": ([request(GENUINE)[:40]], [400]),
    "half a body": ([request(GENUINE)[:-5]], [400]),
    "one, and half of another": ([request(GENUINE) + request(GENUINE)[:-5]], [200, 400]),
    "half a chunk": (
        [head(b"POST /graphql HTTP/1.1", JSON, b"transfer-encoding: chunked") + b"5\r\nab"],
        [400],
    ),
    "nothing": ([], []),
    "line ends": ([b"\r\n\r\n"], []),
}


@pytest.mark.parametrize("name", HALF_CLOSED)
async def test_a_half_closed_client_gets_its_responses(name: str) -> None:
    segments, statuses = HALF_CLOSED[name]
    async with wired() as ask:
        found = await ask(*segments)
        assert [each.status for each in found] == statuses
        assert len(ask.created) == (
            statuses.count(200) if b"createUser" in b"".join(segments) else 0
        )


async def test_a_slow_response_reaches_a_half_closed_client() -> None:
    async with wired() as ask, ask.opened() as wire:
        ask.edge.store.answers.clear()
        await wire.send(request(GENUINE), request(GENUINE))
        await wire.end()
        await asyncio.sleep(0.05)
        ask.edge.store.answers.set()
        assert [each.status for each in await wire.responses()] == [200, 200]


async def test_all_requests_of_a_pipeline_are_executed_in_order_while_few_wait() -> None:
    """More bytes than one read delivers, after a stream that continues."""
    many = 3_000
    async with wired() as ask, ask.opened() as wire:
        ask.edge.store.answers.clear()
        await wire.send(request(GENUINE))
        sending = asyncio.create_task(wire.send(request() * many))
        await asyncio.sleep(0.05)
        [connection] = ask.connections
        waiting = len(connection._waiting)  # noqa: SLF001
        assert 1 <= waiting <= 4_096 // len(request()) + 1
        ask.edge.store.answers.set()
        found = [await wire.response() for _ in range(many + 1)]
        await sending
        assert {each.status for each in found if each} == {200}
        assert sum(b"createUser" in each.body for each in found if each) == 1


@pytest.mark.parametrize(
    "field",
    [
        b"host: localhost",
        b"content-type: application/json",
        b"content-encoding: identity",
        b"expect: 100-continue",
        b"connection: keep-alive",
        b"x-forwarded-for: 192.0.2.7",
        b"authorization: Bearer x",
    ],
)
async def test_blanks_around_a_field_are_no_part_of_it(field: bytes) -> None:
    """RFC 9110, 5.5."""
    name, _, value = field.partition(b": ")
    body = b'{"query": "{ __typename }"}'
    others = [HOST, JSON, b"transfer-encoding: chunked"]
    async with wired() as ask:
        expected = []
        for before, after in ((b" ", b""), (b"", b" "), (b"\t", b"\t"), (b"  ", b" \t ")):
            own = name + b":" + before + value + after
            lines = [each for each in others if not each.startswith(name)] + [own]
            data = b"\r\n".join([b"POST /graphql HTTP/1.1", *lines, b"", b""]) + chunks(body)
            [found] = await ask(data)
            expected.append((found.status, found.body))
        assert expected == [expected[0]] * 4
        assert expected[0][0] == 200


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        (b"/livez", [], 200),
        (b"/nope", [], 404),
        (b"/graphql", [], 405),
        (b"/graphql/", [], 307),
        (b"/livez", [b"host: b"], 400),
        (b"/livez", [b"expect: a miracle"], 417),
        (b"/livez", [b"transfer-encoding: gzip"], 501),
        (b"/livez", [b"a: b"] * 200, 431),
        (b"http://b/livez", [], 400),
        (b"/livez", [b"content-length: 5", *UPGRADES["h2c"]], 200),
        (b"/%ff", [], 404),
    ],
)
async def test_a_response_to_head_has_no_body(
    target: bytes, headers: list[bytes], status: int
) -> None:
    async with wired() as ask, ask.opened() as wire:
        await wire.send(head(b"HEAD %b HTTP/1.1" % target, *headers))
        await wire.end()
        found = await wire.response(method="HEAD")
        assert found is not None
        assert found.status == status
        assert await wire.reader.read() == b""


@pytest.mark.parametrize(
    "fields",
    [
        [b"expect: a miracle", b"expect: 100-continue"],
        [b"expect: 100-continue", b"expect: a miracle"],
        [b"expect: 100-continue, a miracle"],
        [b"expect:"],
    ],
)
async def test_an_unknown_expectation_next_to_a_known_one_is_refused(fields: list[bytes]) -> None:
    async with wired() as ask:
        [found] = await ask(request("{ __typename }", *fields))
        assert (found.status, found.closes) == (417, True)


@pytest.mark.parametrize("path", [b"/%ff", b"/%e2%82", b"/graphql%ff", b"/livez/%c0%af", b"/%zz"])
async def test_a_path_that_is_no_utf_8_is_not_found(path: bytes) -> None:
    """It is a valid request, so the connection stays."""
    async with wired() as ask:
        found = await ask(head(b"GET %b HTTP/1.1" % path), request(GENUINE))
        assert [each.status for each in found] == [404, 200]
