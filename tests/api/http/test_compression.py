"""Compression of responses: negotiated, above a size, and never where a browser may add credentials."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from api.http import compression
from api.http.compression import CODINGS, CompressedGraphQLOverHTTP, negotiate_coding
from tests.api.in_memory_app import Edge, edge
from tests.api.tokens import bearer, signed, with_tokens
from tests.api.wire import JSON, framed, head, request, wired

if TYPE_CHECKING:
    from tests.api.wire import Response

ZSTD = "zstd"
HAS_ZSTD = b"zstd" in CODINGS
LONG = "{ __schema { types { name description } } }"
SHORT = "{ __typename }"
ABOVE = 1_000
ON: dict[str, Any] = {"compress_above": ABOVE}
OFFERS = ["gzip", pytest.param(ZSTD, marks=pytest.mark.skipif(not HAS_ZSTD, reason="no zstd"))]


def unpacked(coding: str | None, body: bytes) -> Any:
    if coding == "gzip":
        body = gzip.decompress(body)
    elif coding == ZSTD:
        body = compression.zstd_module().decompress(body)
    return json.loads(body)


async def raw(ask: Any, query: str, *headers: bytes, line: bytes | None = None) -> Response:
    lines = {} if line is None else {"line": line}
    [found] = await ask(request(query, *headers, **lines))
    return cast("Response", found)


@pytest.mark.parametrize("coding", OFFERS)
@pytest.mark.parametrize("line", [b"POST /graphql HTTP/1.1", b"POST /graphql?a=b HTTP/1.1"])
async def test_a_long_response_is_compressed_with_its_length(coding: str, line: bytes) -> None:
    async with wired(http=ON) as ask:
        plain = await raw(ask, LONG, line=line)
        packed = await raw(ask, LONG, b"accept-encoding: " + coding.encode(), line=line)
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == coding
        assert int(packed.headers["content-length"]) == len(packed.body) < len(plain.body) / 2
        assert unpacked(coding, packed.body) == json.loads(plain.body)
        added = {"content-encoding", "content-length", "date"}
        assert {k: v for k, v in packed.headers.items() if k not in added} == {
            k: v for k, v in plain.headers.items() if k not in added
        }


@pytest.mark.parametrize("coding", OFFERS)
async def test_a_get_is_compressed_and_a_head_has_no_body(coding: str) -> None:
    query = LONG.replace(" ", "%20").encode()
    accepts = b"accept-encoding: " + coding.encode()
    async with wired(http=ON) as ask:
        [found] = await ask(head(b"GET /graphql?query=%b HTTP/1.1" % query, accepts))
        assert found.headers["content-encoding"] == coding
        assert int(found.headers["content-length"]) == len(found.body)
        assert "types" in unpacked(coding, found.body)["data"]["__schema"]
        async with ask.opened() as wire:
            await wire.send(head(b"HEAD /graphql?query=%b HTTP/1.1" % query, accepts))
            await wire.send(request(SHORT))
            first = await wire.response(method="HEAD")
            second = await wire.response()
        assert first is not None
        assert second is not None
        assert (first.status, int(first.headers["content-length"]) > 0) == (405, True)
        assert (second.status, json.loads(second.body)) == (200, {"data": {"__typename": "Query"}})


@pytest.mark.parametrize(("extra", "compresses"), [(0, False), (1, True)])
async def test_only_a_response_above_the_size_is_compressed(extra: int, compresses: bool) -> None:
    size = len(b'{"data":{"__typename":"Query"}}')
    async with wired(http={"compress_above": size - extra}) as ask:
        found = await raw(ask, SHORT, b"accept-encoding: gzip")
        assert ("content-encoding" in found.headers) is compresses
        assert found.headers["vary"] == "accept-encoding"


async def test_nothing_is_compressed_by_default_and_no_header_is_added() -> None:
    async with wired() as ask:
        found = await raw(ask, LONG, b"accept-encoding: gzip, zstd")
        assert {"content-encoding", "vary"}.isdisjoint(found.headers)


EVERY = {
    "a query": request(LONG),
    "a short one": request(SHORT),
    "an error": request("{"),
    "no JSON": framed(b"POST /graphql HTTP/1.1", [JSON], b"{"),
    "another type": framed(b"POST /graphql HTTP/1.1", [], b"{}"),
    "a GET": head(b"GET /graphql?query=%7B__typename%7D HTTP/1.1"),
    "another method": head(b"PUT /graphql HTTP/1.1"),
    "with a cookie": request(LONG, b"cookie: a=b", b"accept-encoding: gzip"),
}


@pytest.mark.parametrize("name", EVERY)
async def test_every_response_varies_by_the_accepted_codings(name: str) -> None:
    async with wired(http=ON) as ask:
        [found] = await ask(EVERY[name])
        assert found.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize(
    "headers",
    [
        [b"cookie: session=1"],
        [b"cookie:"],
        [b"Cookie: a=b", b"cookie: c=d"],
        [b"authorization: Basic YTpi"],
        [b"authorization: basic YTpi"],
        [b"authorization: Negotiate YII="],
        [b"authorization: NTLM TlRMTVNTUAAB"],
        [b"authorization: Digest username=a"],
        [b"authorization:"],
        [b"authorization: Bearerx"],
    ],
)
@pytest.mark.parametrize("accept", [b"gzip", b"gzip, identity;q=0"])
async def test_no_response_is_compressed_where_a_browser_adds_credentials(
    headers: list[bytes], accept: bytes
) -> None:
    async with wired(http=ON) as ask:
        found = await raw(ask, LONG, b"accept-encoding: " + accept, *headers)
        assert found.status == 200
        assert "content-encoding" not in found.headers
        assert "types" in unpacked(None, found.body)["data"]["__schema"]


async def test_a_response_to_a_token_is_compressed() -> None:
    async with edge(access=with_tokens(), **ON) as made:
        headers = {"accept-encoding": "gzip", **bearer(signed())}
        found = await made.post(LONG, headers=headers)
        assert found.headers["content-encoding"] == "gzip"


BEST = b"zstd" if HAS_ZSTD else b"gzip"


@pytest.mark.parametrize(
    ("accept", "coding", "refuses_identity"),
    [
        (b"", None, False),
        (b"gzip", b"gzip", False),
        (b"GZIP", b"gzip", False),
        (b"gzip, deflate, br, zstd", BEST, False),
        (b"gzip;q=1.0, zstd;q=0.5", b"gzip", False),
        (b"zstd;q=0, gzip", b"gzip", False),
        (b"gzip;q=0", None, False),
        (b"gzip;q=0.000", None, False),
        (b"gzip; q=0.001", b"gzip", False),
        (b"gzip;q=0, *", None, False),
        (b"br, deflate", None, False),
        (b"*", b"gzip", False),
        (b"*;q=0", None, True),
        (b"*;q=0, gzip", b"gzip", True),
        (b"*;q=0, identity", None, False),
        (b"*, gzip;q=0.1", b"gzip", False),
        (b"identity", None, False),
        (b"identity;q=0", None, True),
        (b"identity;q=0, gzip", b"gzip", True),
        (b"identity;q=0, *", b"gzip", True),
        (b"identity;q=0, br", None, True),
        (b"identity, gzip;q=0.5", None, False),
        (b"identity;q=0.5, gzip", b"gzip", False),
        (b"identity, gzip", b"gzip", False),
        (b"gzip;q=nonsense", None, False),
        (b"gzip;q=", None, False),
        (b"gzip;q=nan", None, False),
        (b"gzip;q=-1", None, False),
        (b"gzip;q=9", b"gzip", False),
        (b"gzip;level=9", b"gzip", False),
        (b"gzipx, xgzip, x gzip", None, False),
        (b", ,gzip, ,", b"gzip", False),
        (b"\xff\xfe, gzip", b"gzip", False),
        (b"gzip," * 10_000, b"gzip", False),
        (b";;;==,,," * 1_000, None, False),
    ],
)
def test_the_coding_is_the_one_that_the_client_prefers(
    accept: bytes, coding: bytes | None, refuses_identity: bool
) -> None:
    assert negotiate_coding(accept) == (coding, refuses_identity)


async def test_a_client_that_refuses_identity_gets_a_short_response_compressed() -> None:
    async with wired(http=ON) as ask:
        found = await raw(ask, SHORT, b"accept-encoding: gzip, identity;q=0")
        assert found.headers["content-encoding"] == "gzip"
        assert unpacked("gzip", found.body) == {"data": {"__typename": "Query"}}


async def test_a_client_that_accepts_no_coding_of_ours_gets_the_response_as_it_is() -> None:
    async with wired(http=ON) as ask:
        for accept in (b"br, identity;q=0", b"*;q=0"):
            found = await raw(ask, LONG, b"accept-encoding: " + accept)
            assert found.status == 200
            assert "content-encoding" not in found.headers


async def test_several_headers_are_one_list() -> None:
    async with wired(http=ON) as ask:
        found = await raw(ask, LONG, b"accept-encoding: zstd;q=0", b"accept-encoding: gzip")
        assert found.headers["content-encoding"] == "gzip"


async def test_an_event_stream_is_never_compressed() -> None:
    async with wired(http={"compress_above": 1}) as ask:
        headers = [b"accept: text/event-stream", b"accept-encoding: gzip, identity;q=0"]
        found = await raw(ask, LONG, *headers)
        assert found.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in found.headers
        assert found.body.startswith(b"event: next\ndata: {")


async def test_a_list_of_responses_is_compressed() -> None:
    body = json.dumps([{"query": LONG}] * 2).encode()
    async with wired(http={**ON, "batch_limit": 2}) as ask:
        [found] = await ask(
            framed(b"POST /graphql HTTP/1.1", [JSON, b"accept-encoding: gzip"], body)
        )
        first, second = unpacked("gzip", found.body)
        assert first == second


@pytest.mark.parametrize("coding", [b"gzip", b"zstd", b"br", b"deflate", b"gzip, gzip"])
async def test_a_compressed_request_is_still_refused(coding: bytes) -> None:
    body = gzip.compress(json.dumps({"query": SHORT}).encode())
    async with wired(http=ON) as ask:
        headers = [JSON, b"content-encoding: " + coding]
        [found] = await ask(framed(b"POST /graphql HTTP/1.1", headers, body))
        assert found.status == 415
        assert found.headers["accept-encoding"] == "identity"


async def packed_in(made: Edge, body: bytes) -> tuple[bytes | None, set[int]]:
    """The compressed body, and the threads that have compressed it."""
    threads: set[int] = set()

    def compress(body: bytes) -> bytes:
        threads.add(threading.get_ident())
        return CODINGS[b"gzip"](body)

    return await endpoint(made)._compress(compress, body), threads  # noqa: SLF001


def endpoint(made: Edge) -> CompressedGraphQLOverHTTP:
    return cast("CompressedGraphQLOverHTTP", made.app.state.graphql)


async def test_a_large_body_is_compressed_in_a_thread() -> None:
    async with edge(**ON) as made:
        here = {threading.get_ident()}
        small, where = await packed_in(made, b"a" * compression._MAX_INLINE_BYTES)  # noqa: SLF001
        assert (small is not None, where) == (True, here)
        large, where = await packed_in(made, b"a" * 1_000_000)
        assert (large is not None, where.isdisjoint(here)) == (True, True)


async def test_the_event_loop_goes_on_while_a_large_body_is_compressed() -> None:
    body = json.dumps([{"id": str(n), "name": f"User {n * 7919 % 10007}"} for n in range(200_000)])
    async with edge(**ON) as made:
        started = time.perf_counter()
        packing = asyncio.create_task(packed_in(made, body.encode()))
        longest, last = 0.0, started
        while not packing.done():
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        took = last - started
        assert longest < took / 2, (longest, took)


async def test_above_the_number_of_threads_a_large_response_is_sent_as_it_is() -> None:
    released = threading.Event()

    def compress(body: bytes) -> bytes:
        released.wait(10)
        return body[:1]

    body = b"a" * 1_000_000
    async with edge(**ON) as made:
        pack = endpoint(made)._compress  # noqa: SLF001
        busy = [asyncio.create_task(pack(compress, body)) for _ in range(compression._MAX_THREADS)]  # noqa: SLF001
        await asyncio.sleep(0)
        assert await pack(compress, body) is None
        released.set()
        assert await asyncio.gather(*busy) == [b"a"] * len(busy)
        assert await pack(compress, body) == b"a"
