"""Requests that are nearly in order: valid documents and bodies, changed at random, from a seed."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any, Final
from urllib.parse import quote, urlencode

from tests.api.engine.hostile_documents import BODIES, DOCUMENTS
from tests.api.in_memory_app import ALICE

_TOKEN: Final = re.compile(
    r'"""[\s\S]*?"""|"[^"\n]*"|\.\.\.|\$?[_A-Za-z]\w*|-?\d+(?:\.\d+)?|@\w+|\s+|.'
)

_INPUT: Final = '{name: "Alice", email: "alice@example.com", idempotencyKey: "k"}'
_ABOUT: Final = f'userId: "{ALICE}"'
_DATA: Final = (
    "id version user { id name } errors { __typename ... on CommandError { code message path } }"
)
_VALID: Final = (
    f'{{ user(id: "{ALICE}", minVersion: 1) {{ id name email createdAt version lifetimeValue }} }}',
    (
        '{ userByEmail(email: "alice@example.com") { ...F orders(first: 2) { totalCount } } }'
        " fragment F on User { id name ... @include(if: true) { orderCount } }"
    ),
    (
        "query Q($first: Int! = 3, $after: String) { users(first: $first, after: $after)"
        " { edges { cursor node { id } } nodes { name } pageInfo { hasNextPage endCursor } totalCount } }"
    ),
    "query($yes: Boolean!) { topCustomers(first: 2) { id name @skip(if: $yes) } }",
    "query A { a: __typename } query B($id: ID!) { user(id: $id) { orders { nodes { id } } } }",
    '{ __schema { queryType { name } } __type(name: "User") { fields { name type { name } } } }',
    f"mutation {{ createUser(input: {_INPUT}) {{ {_DATA} }} }}",
    f"mutation($input: CreateUserInput!) {{ createUser(input: $input) {{ {_DATA} }} }}",
    f'mutation {{ updateUserEmail(input: {{{_ABOUT}, email: "b@example.com"}}) {{ {_DATA} }} }}',
    (
        f'mutation {{ a: renameUser(input: {{{_ABOUT}, name: "Bob", expectedVersion: 1}}) {{ {_DATA} }}'
        f' b: placeOrder(input: {{{_ABOUT}, total: "12.50"}}) {{ {_DATA} }} }}'
    ),
    f'mutation {{ completeOrder(input: {{orderId: "{ALICE}"}}) {{ {_DATA} }} }}',
    f'subscription {{ userChanged(id: "{ALICE}", afterVersion: 1) {{ id name version }} }}',
    f'{{ user(id: """\n  {ALICE}\n""") {{ id # a comment\n }} }}',
)
_SEEDS: Final = (*_VALID, *(each.query for each in DOCUMENTS if len(each.query) < 2_000))

_DIRECTIVES: Final = (
    *("@stream", "@defer", "@oneOf", "@skip", "@include", "@deprecated", "@cost", "@listSize"),
    *("@stream(initialCount: -1)", "@defer(label: 1)", "@skip(if: $yes)", "@include(if: 1)"),
    *(
        '@stream(label: "a", if: true)',
        '@specifiedBy(url: "x")',
        "@skip(if: true)",
        "@a(b: {c: [$d]})",
    ),
)
_LITERALS: Final = (
    *("0", "-0", "1e999", "1" * 400, "-" + "9" * 5_000, "1.5e-400", "2147483648", "0x1"),
    *("null", "true", "OPEN", "{}", "[]", "[[[1]]]", "{a: {a: $id}}", "$id", "$", "\0", "\ufeff"),
    *(
        '""',
        '"\\u0000"',
        '"\\ud83d\\ude00"',
        '"\\u{1F600}"',
        '"\\ud800"',
        '""""""',
        '"""\n \\""" \n"""',
    ),
    *('"٣٤"', '"²"', '"\u202e"', '"a@ß.de"', '"' + "x" * 3_000 + '"', '"1_0"', '"Ⅷ"', '"\x7f"'),
)
_NAMES: Final = (
    *(
        "on",
        "fragment",
        "query",
        "subscription",
        "__typename",
        "__schema",
        "__proto__",
        "id",
        "users",
    ),
    *(
        "User",
        "CommandError",
        "CreateUserError",
        "InvalidInput",
        "Int",
        "a" * 101,
        "é",
        "node",
        "errors",
    ),
)
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**70), 1.5, 1e308, -0.0, "", "\0"),
    *("a\0b", "٣٤", "½", "Ⅷ", "1_0", " 1", "\u202e", "\ufeff", "é" * 101, "x" * 9_000, "-", "MTIz"),
    *(
        [],
        {},
        [[]],
        {"": None},
        [None] * 9,
        {"name": "\0", "email": "a@b.c"},
        "a@xn--a.b",
        "a@[::1]",
    ),
    *("9" * 5_000, "-9223372036854775809", "0.01", "1e3", "NaN", str(ALICE), "alice@example.com"),
)
_BYTES: Final = (
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"1e999", b"NaN", b"-Infinity"),
    *(b"9" * 5_000, b"[" * 600, b'{"a":' * 600, b'"', b"\\", b",", b"}", b"null", b"\xef\xbb\xbf"),
    *(
        b'"query":',
        b'"variables":',
        b'"operationName":',
        b'"extensions":',
        b'"documentId":',
        b"1" * 30,
    ),
)


class Fuzz:
    """Makes one request after another; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)

    def body(self) -> bytes:
        """Returns the body of a POST: a request, or something near to one."""
        if self._dice.random() < 0.03:
            return self._torn(self._dice.choice(list(BODIES.values()))[:5_000])
        body = json.dumps(self.request(), ensure_ascii=self._dice.random() < 0.5)
        encoded = body.encode("utf-8", "surrogatepass")
        return self._torn(encoded) if self._dice.random() < 0.1 else encoded

    def query_string(self) -> bytes:
        """Returns the URL's part of a GET."""
        fields = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in self.request().items()
            if value is not None
        }
        text = urlencode(fields, quote_via=quote, errors="surrogatepass").encode()
        return self._torn(text) if self._dice.random() < 0.1 else text

    def request(self) -> dict[str, Any]:
        """Returns a request whose values have nearly the right types."""
        made: dict[str, Any] = {"query": self._document()}
        if self._dice.random() < 0.6:
            given = {name: self._value() for name in ("id", "first", "after", "yes")}
            made["variables"] = {**given, "input": self._input()}
        if self._dice.random() < 0.2:
            made["operationName"] = self._dice.choice(["A", "B", "Q", "", "\0", "a" * 9_000])
        if self._dice.random() < 0.1:
            odd = [{"cost": True}, {"cost": self._value()}, {"persistedQuery": self._value()}]
            made["extensions"] = self._dice.choice([*odd, {"traceparent": self._value()}])
        if self._dice.random() < 0.05:
            made[self._dice.choice([*made, "documentId"])] = self._value()
        return made

    def _document(self) -> str:
        text = self._dice.choice(_VALID if self._dice.random() < 0.8 else _SEEDS)
        for _ in range(self._dice.choice([0, 0, 1, 1, 1, 2, 3])):
            change = self._dice.choice([self._spliced, self._flipped, *[self._dressed] * 4])
            text = change(text)
        return text

    def _spliced(self, text: str) -> str:
        """Takes a token out, puts another there, or exchanges two."""
        tokens = _TOKEN.findall(text) or [""]
        one, other = (self._dice.randrange(len(tokens)) for _ in range(2))
        match self._dice.randrange(4):
            case 0:
                tokens[one] = ""
            case 1:
                tokens[one], tokens[other] = tokens[other], tokens[one]
            case 2:
                tokens[one] = self._dice.choice([*_LITERALS, *_NAMES, *_TOKEN.findall(_VALID[2])])
            case _:
                tokens[one:other] = _TOKEN.findall(self._dice.choice(_VALID))[:20]
        return "".join(tokens)

    def _flipped(self, text: str) -> str:
        at = self._dice.randrange(len(text) + 1)
        odd = self._dice.choice(
            ['"', "\\", "\0", "\r", "\u2028", "{", "}", "#", "!", chr(0xDFFF), "\U0001d7d8"]
        )
        return text[:at] + odd + text[at + self._dice.randrange(2) :]

    def _dressed(self, text: str) -> str:
        """Inserts a directive after a name, or replaces a literal by another."""
        tokens = _TOKEN.findall(text)
        names = [
            at for at, token in enumerate(tokens) if re.fullmatch(r"[_A-Za-z]\w*|\}|\)", token)
        ]
        values = [at for at, token in enumerate(tokens) if re.fullmatch(r'".*"|-?\d+|true', token)]
        if values and self._dice.random() < 0.5:
            tokens[self._dice.choice(values)] = self._dice.choice(_LITERALS)
        elif names:
            tokens.insert(self._dice.choice(names) + 1, f" {self._dice.choice(_DIRECTIVES)} ")
        return "".join(tokens)

    def _torn(self, data: bytes) -> bytes:
        """Changes bytes."""
        for _ in range(self._dice.randrange(1, 4)):
            at = self._dice.randrange(len(data) + 1)
            odd = self._dice.choice([*_BYTES, bytes([self._dice.randrange(256)])])
            data = data[:at] + odd + data[at + self._dice.choice([0, 0, 1, 9]) :]
        return data

    def _value(self) -> Any:
        return self._dice.choice(_VALUES)

    def _input(self) -> Any:
        given = {"name": "Alice", "email": "alice@example.com", "idempotencyKey": None}
        given[self._dice.choice([*given, "userId", "total"])] = self._value()
        return self._value() if self._dice.random() < 0.1 else given
