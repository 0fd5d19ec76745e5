"""Requests that try to have a part of a body executed as a request, or to leave a response to another client.

Each attack has a number, and its mutations have it in their alias and e-mail address: `outer` is a request
that the client makes, `after` one that follows it, and `inner` is only ever content of another request. This
content is a request as a client sends it, or the very bytes that the proxy has sent for one, or a request
behind many line ends, which a parser skips wherever it begins to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final, Literal

from tests.api.http.test_framing import (
    EARLY,
    FRAMING,
    FRAMINGS,
    IGNORED,
    LARGE,
    SEGMENTS,
    UPGRADES,
)
from tests.api.wire import HOST, JSON, chunks, head, request

POST: Final = b"POST /graphql HTTP/1.1"

Role = Literal["outer", "after", "inner"]
Ending = Literal["reads", "half-closes", "closes"]


@dataclass(frozen=True)
class Attack:
    number: int
    name: str
    segments: list[bytes]
    responses: int
    """Requests in these segments, as this service and the proxy have to read them."""
    ending: Ending = "reads"
    waits: bool = False
    """True to wait a moment for a response between the first segment and the others."""
    is_ambiguous: bool = False
    """True if a proxy may take `inner` for a request of its own, and forward it as one."""


Make = Callable[[int, bytes], Attack]
"""Makes the attack of this number with these bytes as content."""


def mutation(role: Role, number: int) -> str:
    alias, email = f"{role}{number:05}", address(role, number)
    return f'mutation {{ {alias}: createUser(input: {{name: "A", email: "{email}"}}) {{ id }} }}'


def address(role: Role, number: int) -> str:
    return f"{role}-{number:05}@example.com"


def attacks(forwarded: bytes, *, step: int = 1) -> Iterator[Attack]:
    """Yields every attack, or each of so many; a step that is a prime number leaves out no dimension.

    `forwarded` are the bytes that the proxy has sent for the mutation `inner` of number 0.
    """
    made = [*_early(), *_upgrades(), *_trailers(), *_endings(), *_pipelines(), *_malformed()]
    for number, make in enumerate(made, 1):
        if number % step == 0:
            yield make(number, _content(number, forwarded))


def _content(number: int, forwarded: bytes) -> bytes:
    plain = request(mutation("inner", number))
    replayed = forwarded.replace(b"%05d" % 0, b"%05d" % number)
    return (plain, replayed, b"\r\n" * 20_000 + plain)[number % 3]


_PACES: Final = [*SEGMENTS, "after the response"]


def _attack(
    number: int, name: tuple[str, ...], first: bytes, body: bytes, pace: str, *, follows: bool
) -> Attack:
    after = request(mutation("after", number)) if follows else b""
    waits = pace not in SEGMENTS
    cut = SEGMENTS.get(pace, SEGMENTS["head and body"])
    label = ", ".join((*name, pace, *(["followed"] if follows else [])))
    return Attack(number, label, cut(first, body, after), 1 + follows, waits=waits)


def _outer(number: int) -> bytes:
    """The body of a mutation that the client makes."""
    return request(mutation("outer", number)).partition(b"\r\n\r\n")[2]


def _early() -> Iterator[Make]:
    """Responses that need no body, with a request in the body."""
    for early, framing, pace, follows, expects in product(
        EARLY, FRAMINGS, _PACES, (False, True), (False, True)
    ):
        if not (expects and early == "417"):
            yield partial(_early_response, early, framing, pace, follows=follows, expects=expects)


def _early_response(
    early: str,
    framing: str,
    pace: str,
    number: int,
    content: bytes,
    *,
    follows: bool,
    expects: bool,
) -> Attack:
    line, headers, _ = EARLY[early]
    content += b" " * LARGE if early == "413" else content
    framing_headers, body = FRAMINGS[framing](content)
    expect = [b"expect: 100-continue"] if expects else []
    first = head(line, *headers, *expect, *framing_headers)
    name = (early, framing, *(["expecting"] if expects else []))
    return _attack(number, name, first, body, pace, follows=follows)


_TARGETS: Final = [b"POST /nope HTTP/1.1", b"GET /graphql?query=%7B__typename%7D HTTP/1.1", POST]


def _upgrades() -> Iterator[Make]:
    """Upgrades that the service does not perform."""
    for upgrade, framing, pace, follows in product(UPGRADES, FRAMINGS, _PACES, (False, True)):
        for line in _TARGETS:
            yield partial(_upgrade, upgrade, framing, pace, line, [], follows=follows)
        yield partial(_upgrade, upgrade, framing, pace, POST, [JSON], follows=follows)


def _upgrade(
    upgrade: str,
    framing: str,
    pace: str,
    line: bytes,
    headers: list[bytes],
    number: int,
    content: bytes,
    *,
    follows: bool,
) -> Attack:
    framing_headers, body = FRAMINGS[framing](_outer(number) if headers else content)
    first = head(line, *headers, *UPGRADES[upgrade], *framing_headers)
    name = (f"an upgrade ({upgrade})", line.decode(), framing)
    return _attack(number, name, first, body, pace, follows=follows)


def _trailers() -> Iterator[Make]:
    for trailer, pace, follows in product([*IGNORED, *FRAMING], SEGMENTS, (False, True)):
        yield partial(_trailer, trailer, pace, follows=follows)
    for pace, follows in product(SEGMENTS, (False, True)):
        yield partial(_extension, pace, follows=follows)


def _trailer(trailer: bytes, pace: str, number: int, _: bytes, *, follows: bool) -> Attack:
    first = head(POST, JSON, b"transfer-encoding: chunked")
    body = chunks(_outer(number), trailers=(trailer,))
    return _attack(number, ("a trailer", trailer.decode()), first, body, pace, follows=follows)


def _extension(pace: str, number: int, content: bytes, *, follows: bool) -> Attack:
    """A chunk extension that is a request except for its line ends."""
    first = head(POST, JSON, b"transfer-encoding: chunked")
    extension = b';a="%b"' % content.strip().replace(b"\r\n", b" ").replace(b'"', b"'")
    body = chunks(_outer(number), extension=extension)
    return _attack(number, ("a chunk extension",), first, body, pace, follows=follows)


def _endings() -> Iterator[Make]:
    """Clients that send no more, or are gone, before they have read a response."""
    endings: tuple[Ending, ...] = ("half-closes", "closes")
    for early, framing, ending in product(EARLY, FRAMINGS, endings):
        yield partial(_ending, early, framing, ending, 0)
        yield partial(_ending, early, framing, ending, 9)
    yield partial(_ending_of_mutation, "half-closes")
    yield partial(_ending_of_mutation, "closes")


def _ending(
    early: str, framing: str, ending: Ending, missing: int, number: int, content: bytes
) -> Attack:
    """`missing` bytes of the body are not sent."""
    line, headers, _ = EARLY[early]
    framing_headers, body = FRAMINGS[framing](content)
    segments = [head(line, *headers, *framing_headers), body[: len(body) - missing]]
    return Attack(number, f"{early}, {framing}, {ending}, {missing} missing", segments, 1, ending)


def _ending_of_mutation(ending: Ending, number: int, _: bytes) -> Attack:
    return Attack(number, f"a mutation, {ending}", [request(mutation("outer", number))], 1, ending)


def _pipelines() -> Iterator[Make]:
    for early, framing in product(EARLY, FRAMINGS):
        yield partial(_pipeline, early, framing)


def _pipeline(early: str, framing: str, number: int, content: bytes) -> Attack:
    """A mutation, a request that is responded to early, and a mutation, in one segment."""
    line, headers, _ = EARLY[early]
    framing_headers, body = FRAMINGS[framing](content)
    middle = head(line, *headers, *framing_headers) + body
    both = [request(mutation("outer", number)), middle, request(mutation("after", number))]
    return Attack(number, f"a pipeline, {early}, {framing}", [b"".join(both)], 3)


_FIELDS: Final = {
    "a length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked",
    "chunks and a length": b"transfer-encoding: chunked\r\ncontent-length: 5",
    "two lengths": b"content-length: 5\r\ncontent-length: 6",
    "a length with a sign": b"content-length: +5",
    "a list of lengths": b"content-length: 5, 5",
    "a length with a blank before the colon": b"content-length : 5",
    "chunks with a blank before the colon": b"transfer-encoding : chunked",
    "chunks after a tab": b"transfer-encoding:\tchunked",
    "chunks in quotes": b'transfer-encoding: "chunked"',
    "chunks twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "chunks, then identity": b"transfer-encoding: chunked, identity",
    "chunks that are not last": b"transfer-encoding: chunked\r\ntransfer-encoding: gzip",
    "xchunked": b"transfer-encoding: xchunked",
    "chunks in a folded line": b"transfer-encoding:\r\n chunked",
    "chunks after a bare line feed": b"x: y\ntransfer-encoding: chunked",
    "chunks after a bare carriage return": b"x: y\rtransfer-encoding: chunked",
    "chunks after a NUL": b"transfer-encoding: \0chunked",
    "connection: content-length": b"connection: content-length\r\ncontent-length: 5",
    "connection: transfer-encoding": b"connection: transfer-encoding\r\ntransfer-encoding: chunked",
}
_CHUNKS: Final = {
    "a size in hexadecimal notation": b"0x5\r\nab cd\r\n0\r\n\r\n",
    "a size with a blank": b"5 \r\nab cd\r\n0\r\n\r\n",
    "a size with a sign": b"+5\r\nab cd\r\n0\r\n\r\n",
    "a bare line feed after a size": b"5\nab cd\r\n0\r\n\r\n",
    "a bare line feed after a chunk": b"5\r\nab cd\n0\r\n\r\n",
    "a bare line feed in an extension": b"5;\nab\r\nab cd\r\n0\r\n\r\n",
    "bare line feeds at the end": b"5\r\nab cd\r\n0\n\n",
    "a size beyond 64 bits": b"10000000000000005\r\nab cd\r\n0\r\n\r\n",
    "a size that is negative": b"-1\r\nab cd\r\n0\r\n\r\n",
}


def _malformed() -> Iterator[Make]:
    """Framing that two servers may read in two ways."""
    for name, fields in _FIELDS.items():
        for version, body in product((b"1.1", b"1.0"), (b"0\r\n\r\n", b"ab cd")):
            yield partial(_field, name, fields, version, body)
    for name, body in _CHUNKS.items():
        yield partial(_field, name, b"transfer-encoding: chunked", b"1.1", body)


def _field(
    name: str, fields: bytes, version: bytes, body: bytes, number: int, content: bytes
) -> Attack:
    lines = [b"POST /nope HTTP/" + version, HOST, JSON, fields, b"", body]
    segments = [b"\r\n".join(lines) + content]
    label = f"{name}, HTTP/{version.decode()}, {body[:8]!r}"
    return Attack(number, label, segments, 2, "half-closes", is_ambiguous=True)
