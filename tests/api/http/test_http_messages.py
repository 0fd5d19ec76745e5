"""The choices that RFC 9110 and 9112 leave to a server: refused messages, and headers of responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from api.auth.access import Access
from api.auth.security_headers import SECURITY_HEADERS
from api.limits import Limits
from tests.api.wire import HOST, JSON, chunks, create, framed, head, request, wired

if TYPE_CHECKING:
    from tests.api.wire import Response

CREATE = create("a@example.com")
BODY = request(CREATE).partition(b"\r\n\r\n")[2]
LENGTH = b"content-length: %d" % len(BODY)
CHUNKED = b"transfer-encoding: chunked"
POST = b"POST /graphql HTTP/1.1"


def lines(*headers: bytes, line: bytes = POST, body: bytes = BODY) -> bytes:
    """A request with just these headers."""
    return b"\r\n".join([line, *headers, b"", b""]) + body


REFUSED = {
    "no Host": (lines(JSON, LENGTH), 400),
    "two Hosts": (lines(HOST, HOST, JSON, LENGTH), 400),
    "two Hosts that differ": (lines(HOST, b"host: evil.example", JSON, LENGTH), 400),
    "two Hosts in HTTP/1.0": (lines(HOST, HOST, JSON, LENGTH, line=b"POST /graphql HTTP/1.0"), 400),
    "a Host with a path": (lines(b"host: a/b", JSON, LENGTH), 400),
    "a Host with a user": (lines(b"host: a@b", JSON, LENGTH), 400),
    "a Host with a blank": (lines(b"host: a b", JSON, LENGTH), 400),
    "a Host that is no text": (lines(b"host: \xff", JSON, LENGTH), 400),
    "two Hosts in one": (lines(b"host: a, b", JSON, LENGTH), 400),
    "a target of another host": (
        lines(HOST, JSON, LENGTH, line=b"POST http://evil.example/graphql HTTP/1.1"),
        400,
    ),
    "a length and chunks": (lines(HOST, JSON, LENGTH, CHUNKED, body=chunks(BODY)), 400),
    "chunks and a length": (lines(HOST, JSON, CHUNKED, LENGTH, body=chunks(BODY)), 400),
    "chunks in HTTP/1.0": (
        lines(HOST, JSON, CHUNKED, line=b"POST /graphql HTTP/1.0", body=chunks(BODY)),
        400,
    ),
    "chunked twice": (
        lines(HOST, JSON, b"transfer-encoding: chunked, chunked", body=chunks(BODY)),
        400,
    ),
    "chunked twice in two headers": (lines(HOST, JSON, CHUNKED, CHUNKED, body=chunks(BODY)), 400),
    "chunked not last": (
        lines(HOST, JSON, b"transfer-encoding: chunked, gzip", body=chunks(BODY)),
        400,
    ),
    "gzip": (lines(HOST, JSON, b"transfer-encoding: gzip", body=BODY), 501),
    "gzip before chunked": (
        lines(HOST, JSON, b"transfer-encoding: gzip, chunked", body=chunks(BODY)),
        501,
    ),
    "identity": (lines(HOST, JSON, b"transfer-encoding: identity", body=BODY), 501),
    "an unknown coding": (
        lines(HOST, JSON, b"transfer-encoding: xchunked", body=chunks(BODY)),
        501,
    ),
    "an empty coding": (lines(HOST, JSON, b"transfer-encoding:", body=chunks(BODY)), 400),
    "two lengths": (lines(HOST, JSON, LENGTH, LENGTH), 400),
    "two lengths in one": (lines(HOST, JSON, LENGTH + b", %d" % len(BODY)), 400),
    "a length with a sign": (lines(HOST, JSON, b"content-length: +%d" % len(BODY)), 400),
    "a length that is hexadecimal": (lines(HOST, JSON, b"content-length: 0x10"), 400),
    "a length beyond all": (lines(HOST, JSON, b"content-length: " + b"9" * 30), 400),
    "a blank before a colon": (lines(HOST, JSON, b"content-length : 5"), 400),
    "a folded header": (lines(HOST, JSON, LENGTH, b"x: a\r\n b"), 400),
    "a name that is no token": (lines(HOST, JSON, LENGTH, b"x(y): a"), 400),
    "line feeds alone": (lines(HOST, JSON, LENGTH).replace(b"\r\n", b"\n"), 400),
    "an expectation": (lines(HOST, JSON, LENGTH, b"expect: 200-ok"), 417),
    "two expectations": (lines(HOST, JSON, LENGTH, b"expect: 100-continue, a"), 417),
    "HTTP/2.0": (lines(HOST, JSON, LENGTH, line=b"POST /graphql HTTP/2.0"), 505),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 505),
    "HTTP/1.2": (lines(HOST, JSON, LENGTH, line=b"POST /graphql HTTP/1.2"), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "CONNECT": (lines(b"host: x:80", line=b"CONNECT x:80 HTTP/1.1", body=request(CREATE)), 405),
    "a target that is no path": (lines(HOST, JSON, LENGTH, line=b"POST graphql HTTP/1.1"), 400),
    "a chunk without digits": (lines(HOST, JSON, CHUNKED, body=b"\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk that is longer": (lines(HOST, JSON, CHUNKED, body=b"2\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk beyond all": (lines(HOST, JSON, CHUNKED, body=b"f" * 20 + b"\r\nabc\r\n"), 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_message_that_two_servers_could_frame_differently_is_refused_and_closes(
    name: str,
) -> None:
    data, status = REFUSED[name]
    async with wired() as ask:
        for segments in ([data + request(CREATE)], [data[:50], data[50:], request(CREATE)]):
            found = await ask(*segments)
            assert [each.status for each in found] == [status]
            assert found[0].closes
        assert ask.created == []


ACCEPTED = {
    "a Host with a port": lines(b"host: localhost:8000", JSON, LENGTH),
    "a Host in IPv6": lines(b"host: [::1]:8000", JSON, LENGTH),
    "an empty Host": lines(b"host:", JSON, LENGTH),
    "a whole target": lines(HOST, JSON, LENGTH, line=b"POST http://LOCALHOST/graphql HTTP/1.1"),
    "a body that says that it is not coded": lines(
        HOST, JSON, LENGTH, b"content-encoding: identity"
    ),
    "an expectation in capitals": lines(HOST, JSON, LENGTH, b"expect: 100-Continue"),
    "line ends before it": b"\r\n\r\n" + lines(HOST, JSON, LENGTH),
    "header names in capitals": lines(HOST.upper(), JSON.upper().lower(), LENGTH.upper()),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_an_operation_with_the_scope_is_executed(name: str) -> None:
    async with wired() as ask:
        found = await ask(ACCEPTED[name], request())
        assert [each.status for each in found] == [200, 200]
        assert ask.created == ["a@example.com"]


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate", b"gzip, identity", b"zstd"])
async def test_a_compressed_body_is_415_and_the_response_says_what_is_accepted(
    coding: bytes,
) -> None:
    async with wired() as ask:
        [found] = await ask(request(CREATE, b"content-encoding: " + coding))
        assert found.status == 415
        assert found.headers["accept-encoding"] == "identity"
        assert ask.created == []


EVERY = {
    "a query": (request(), 200),
    "a refusal": (request("{"), 200),
    "not found": (head(b"GET /nope HTTP/1.1"), 404),
    "livez": (head(b"GET /livez HTTP/1.1"), 200),
    "a stream by GET": (
        head(b"GET /graphql?query=%7B__typename%7D HTTP/1.1", b"accept: text/event-stream"),
        200,
    ),
    "a stream by POST": (request("{ __typename }", b"accept: text/event-stream"), 200),
    "the page": (head(b"GET /graphql HTTP/1.1", b"accept: text/html"), 200),
    "a redirect": (head(b"GET /graphql/ HTTP/1.1"), 307),
    "malformed": (b"\0\r\n\r\n", 400),
    "too large": (head(b"GET / HTTP/1.1", b"x: " + b"x" * 40_000), 431),
    "405": (head(b"DELETE /graphql HTTP/1.1"), 405),
}


@pytest.mark.parametrize("name", EVERY)
async def test_every_response_has_a_date_and_the_security_headers(name: str) -> None:
    data, status = EVERY[name]
    async with wired() as ask:
        [found] = await ask(data)
    assert found.status == status
    date = parsedate_to_datetime(found.headers["date"])
    assert abs(datetime.now(UTC) - date) < timedelta(seconds=60)
    assert {header.decode() for header, _ in SECURITY_HEADERS} <= found.headers.keys()
    if found.closes:
        assert "keep-alive" not in found.headers
    else:
        assert found.headers["keep-alive"] == "timeout=75"


async def test_a_client_of_http_1_0_gets_no_chunks_and_the_end_of_the_connection() -> None:
    stream = head(b"GET /graphql?query=%7B__typename%7D HTTP/1.0", b"accept: text/event-stream")
    async with wired() as ask:
        for data in (stream, framed(b"POST /graphql HTTP/1.0", [JSON], BODY), stream):
            [found] = await ask(data, ends=False)
            assert "transfer-encoding" not in found.headers
            assert found.closes
        assert found.body.endswith(b"event: complete\ndata:\n\n")


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async with wired() as ask, ask.opened() as wire:
        for method in ("GET", "HEAD"):
            await wire.send(head(b"%b /livez HTTP/1.1" % method.encode()))
            found = await wire.response(method=method)
            assert found is not None
            assert (found.status, found.headers["content-length"]) == (200, "3")
        await wire.send(head(b"GET /livez HTTP/1.1"))  # nothing was left behind
        assert await wire.response() is not None


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_slash_at_the_end_redirects_relative_to_the_address(method: bytes) -> None:
    line = method + b" /graphql/?query=%7B__typename%7D HTTP/1.1"
    async with wired() as ask:
        [found] = await ask(head(line).replace(HOST, b"host: evil.example"))
    assert found.status == 307
    assert found.headers["location"] == "../graphql?query=%7B__typename%7D"


async def test_a_client_that_expects_100_continue_gets_it_once_and_only_if_its_body_is_wanted() -> (
    None
):
    first = head(POST, JSON, LENGTH, b"expect: 100-continue")
    async with wired() as ask, ask.opened() as wire:
        await wire.send(first)
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(BODY[:10], BODY[10:])
        found = await wire.response()
        assert found is not None
        assert b"createUser" in found.body
        await wire.send(head(b"POST /nope HTTP/1.1", LENGTH, b"expect: 100-continue"))
        assert await wire.reader.readuntil(b"\r\n") == b"HTTP/1.1 404 Not Found\r\n"


def statuses(found: list[Response]) -> list[int]:
    return [each.status for each in found]


async def test_a_request_that_cannot_be_read_does_not_take_the_responses_before_it() -> None:
    async with wired() as ask:
        found = await ask(request(CREATE) + request() + b"\0\0\0" + request(CREATE))
        assert statuses(found) == [200, 200, 400]
        assert [each.closes for each in found] == [False, False, True]
        assert ask.created == ["a@example.com"]


async def test_nothing_after_connection_close_is_executed() -> None:
    async with wired() as ask:
        for segments in (
            [request(CREATE, b"connection: close") + request(create("b@example.com"))],
            [request(CREATE, b"connection: close"), request(create("b@example.com"))],
            [request(CREATE, b"connection: close") + b"\0\0"],
        ):
            ask.edge.store.commands.clear()
            found = await ask(*segments)
            assert statuses(found) == [200]
            assert found[0].closes
            assert ask.created == ["a@example.com"]


async def test_access_is_checked_before_the_body_is_read() -> None:
    async with wired(Limits(request_seconds=5), access=Access(local_only=True)) as ask:
        data = head(POST, JSON, LENGTH).replace(HOST, b"host: evil.example")
        [found] = await ask(data, ends=False)
        assert (found.status, found.closes) == (403, True)
