"""Requests of a hostile client, and the error code that each must get."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.api.in_memory_app import ALICE

PARSE: Final = "GRAPHQL_PARSE_FAILED"
INVALID: Final = "GRAPHQL_VALIDATION_FAILED"
OPERATION: Final = "OPERATION_RESOLUTION_FAILURE"
INPUT: Final = "BAD_USER_INPUT"
BAD: Final = "BAD_REQUEST"

WATCH = f'subscription {{ userChanged(id: "{ALICE}") {{ id }} }}'
INTROSPECTION = "{ __schema { types { " + "fields { type { " * 5 + "name" + " } }" * 5 + " } } }"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A well-formed request, and the one code of its errors; None if it has none.

    `executed` says that the errors stand beside `data`.
    """

    name: str
    query: str
    code: str | None
    variables: dict[str, Any] | None = None
    operation: str | None = None
    executed: bool = False

    @property
    def request(self) -> dict[str, Any]:
        return {"query": self.query, "variables": self.variables, "operationName": self.operation}


def _many(text: str, count: int, separator: str = " ") -> str:
    """Returns the text repeated, with its number for each %d."""
    return separator.join(text.replace("%d", str(number)) for number in range(count))


def _nodes(selection: str) -> str:
    return "{ users { nodes { " + selection + " } } }"


def _nested(before: str, middle: str, after: str, depth: int) -> str:
    return before * depth + middle + after * depth


_PARSED = {
    "nothing": "",
    "only blanks": " \n\t\ufeff",
    "only a comment": "# a comment",
    "a brace": "{",
    "an empty selection": "{ }",
    "an empty selection of a field": "{ users { } }",
    "a brace too many": "{ __typename } }",
    "a NUL": "{ __typename \x00 }",
    "a control character in a string": '{ user(id: "\x07',
    "an unterminated string": '{ user(id: "',
    "an unterminated block string": '{ user(id: """',
    "a bad escape": r'{ user(id: "\q") { id } }',
    "half a surrogate pair": r'{ user(id: "\ud800") { id } }',
    "a character beyond Unicode": r'{ user(id: "\u{110000}") { id } }',
    "letters of another alphabet": "{ __typenam\u0435\u200b }",
    "braces without an end": "{a" * 900,
    "brackets without an end": "{ user(id: " + "[" * 1_900,
    "more tokens than are read": "{" + "a " * 10_000 + "}",
    "10,000 aliases": "{ " + _many("a%d: __typename", 10_000) + " }",
    "a comment of a megabyte's fourth": "#" + "x" * 200_000 + "\n{ __typename }",
    "more comments than are read": "#\n" * 5_000 + "{ __typename }",
    "a long string": '{ user(id: "' + "x" * 100_000 + '") { id } }',
    "a number that starts with naught": "{ users(first: 01) { totalCount } }",
    "a number that runs into a name": "{ users(first: 1a) { totalCount } }",
    "SQL": "SELECT * FROM events; --",
    "60 fragments of 29 spreads": _many("fragment F%d on User { " + "...F1 " * 29 + "}", 60),
    "a literal list nested deep": "{ user(id: " + _nested("[", "", "]", 900) + ") { id } }",
    "lists nested deep": "{ user(id: 1) "
    + _nested("{ orders { nodes ", "{ id }", "} }", 200)
    + "}",
    "inline fragments nested deep": _nodes(_nested("... { ", "id", " }", 200)),
    "a template": "{{constructor.constructor('return process')()}}",
}

_VALIDATED = {
    "an unknown field": "{ password }",
    "a thousand unknown fields": "{ " + _many("x%d", 950) + " }",
    "an unknown argument": "{ users(where: 1) { totalCount } }",
    "hundreds of unknown arguments": "{ users(" + _many("x%d: 1", 400) + ") { totalCount } }",
    "an argument again and again": "{ users(" + "first: 1 " * 400 + ") { totalCount } }",
    "an unknown fragment": _nodes("...Nobody"),
    "an unused fragment": "{ __typename } fragment F on User { id }",
    "a fragment on nothing": "{ ...F } fragment F on Nobody { id }",
    "a fragment that spreads itself": "{ ...F } fragment F on Query { ...F }",
    "fragments in a circle": _nodes("...F0") + _many("fragment F%d on User { id ...F0 }", 40),
    "an unknown directive": "{ __typename @evil }",
    "900 unknown directives": "{ __typename" + "@x" * 900 + " }",
    "a directive twice": "{ __typename @skip(if: false) @skip(if: false) }",
    "an unknown type": "query($a: Nobody) { __typename }",
    "an undefined variable": "{ user(id: $id) { id } }",
    "an unused variable": "query($id: ID!) { __typename }",
    "hundreds of unused variables": "query(" + _many("$v%d: Int", 400) + ") { __typename }",
    "a variable twice": "query($a: Int, $a: Int) { users(first: $a) { totalCount } }",
    "an object as a scalar": "{ user { id } }",
    "a scalar as an object": "{ __typename { id } }",
    "an object without its fields": "{ users }",
    "a string for a number": '{ users(first: "1") { totalCount } }',
    "a number beyond 32 bits": "{ users(first: 2147483648) { totalCount } }",
    "a number of 50,000 digits": "{ users(first: " + "9" * 50_000 + ") { totalCount } }",
    "null where none may be": "{ user(id: null) { id } }",
    "fields that cannot be merged": "{ a: __typename a: users { totalCount } }",
    "two operations of one name": "query A { __typename } query A { __typename }",
    "two operations without names": "{ __typename } { __typename }",
    "a definition of the schema": "type Query { password: String }",
    "a subscription of two": WATCH.replace("subscription {", "subscription { __typename"),
    "an unknown input": "mutation { createUser(input: {" + _many("x%d: 1", 400) + "}) { id } }",
    "a mutation that is no field": "mutation { dropEverything }",
    "introspection in circles": INTROSPECTION,
    "introspection multiplied by fragments": "{ __schema { types { ...A } queryType { ...A } } }"
    "fragment A on __Type { ...C possibleTypes { ...B } fields { type { ...B ofType { ...B } } } }"
    "fragment B on __Type { ...C ofType { ...C ofType { ...C } } fields { type { ...C ofType { ...C } } } }"
    "fragment C on __Type { name kind description specifiedByURL isOneOf enumValues { name } }",
    "introspection multiplied by aliases": "{ __schema { types { "
    + _many("a%d: fields { type { name fields { name } } }", 15)
    + " } } }",
    "fields nested beyond the limit": _nested("{ a ", "", "}", 30),
    "inline fragments by the hundred": _nodes("... { id } " * 480),
    "600 aliases": _nodes(_many("a%d: name", 600)),
    "a field 1,900 times": _nodes("id " * 1_900),
}

DOCUMENTS: Final = (
    *(Document(name=name, query=query, code=PARSE) for name, query in _PARSED.items()),
    *(Document(name=name, query=query, code=INVALID) for name, query in _VALIDATED.items()),
    Document(
        name="two operations",
        query="query A { __typename } query B { __typename }",
        code=OPERATION,
    ),
    Document(
        name="no such operation", query="query A { __typename }", code=OPERATION, operation="B"
    ),
    Document(
        name="a name that is a property of objects elsewhere",
        query="query A { __typename }",
        code=OPERATION,
        operation="__proto__",
    ),
    Document(
        name="a variable that is missing",
        query="query($n: Int!) { users(first: $n) { totalCount } }",
        code=INPUT,
    ),
    Document(
        name="a variable of another type",
        query="query($n: Int!) { users(first: $n) { totalCount } }",
        variables={"n": {"$gt": 0}},
        code=INPUT,
    ),
    Document(
        name="a variable beyond 64 bits",
        query="query($n: Int!) { users(first: $n) { totalCount } }",
        variables={"n": 2**70},
        code=INPUT,
    ),
    Document(
        name="a variable with unknown fields",
        query="mutation($i: CreateUserInput!) { createUser(input: $i) { id } }",
        variables={"i": {f"x{number}": 1 for number in range(1_000)}},
        code=INPUT,
    ),
    Document(
        name="a variable that nobody declared",
        query="{ __typename }",
        variables={"__proto__": {"admin": True}},
        code=None,
    ),
    Document(
        name="a page of none",
        query="{ users(first: 0) { totalCount } }",
        code=INPUT,
        executed=True,
    ),
    Document(
        name="a page of a million",
        query="{ users(first: 1000000) { totalCount } }",
        code=INPUT,
        executed=True,
    ),
    Document(
        name="a cursor that is SQL",
        query='{ users(after: "\' OR 1=1 --") { totalCount } }',
        code=INPUT,
        executed=True,
    ),
    Document(
        name="an id that is a path",
        query='{ user(id: "../../etc/passwd") { id } }',
        code=INPUT,
        executed=True,
    ),
    Document(
        name="an id with a NUL",
        query=r'{ user(id: "\u0000") { id } }',
        code=INPUT,
        executed=True,
    ),
    Document(
        name="an e-mail address with a line break",
        query=r'{ userByEmail(email: "a@example.com\r\nBcc: b@example.com") { id } }',
        code=INPUT,
        executed=True,
    ),
    Document(
        name="a version beyond all",
        query=f'{{ user(id: "{ALICE}", minVersion: -1) {{ id }} }}',
        code=INPUT,
        executed=True,
    ),
)

BODIES: Final = {
    "no body": b"",
    "a number": b"1",
    "null": b"null",
    "a list": b"[]",
    "a batch": b'[{"query": "{ __typename }"}]',
    "a string": b'"{ __typename }"',
    "half an object": b"{",
    "an object of nothing": b"{}",
    "two objects": b'{"query": "{ __typename }"}{"query": "{ __typename }"}',
    "no query": b'{"qeury": "{ __typename }"}',
    "a query that is null": b'{"query": null}',
    "a query that is a number": b'{"query": 1}',
    "a query that is an object": b'{"query": {"$ne": null}}',
    "variables that are a list": b'{"query": "{ __typename }", "variables": []}',
    "variables that are text": b'{"query": "{ __typename }", "variables": "{}"}',
    "a name that is a number": b'{"query": "{ __typename }", "operationName": 1}',
    "extensions that are a number": b'{"query": "{ __typename }", "extensions": 1}',
    "NaN": b'{"query": "{ __typename }", "variables": {"a": NaN}}',
    "a number beyond all": b'{"query": "{ __typename }", "variables": {"a": 1e999}}',
    "half a surrogate pair": b'{"query": "\\ud800"}',
    "bytes that are no UTF-8": b'{"query": "\xff"}',
    "a surrogate in UTF-8": b'{"query": "\xed\xa0\x80"}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"query": "{ __typename }"}',
    "lists nested deep": b"[" * 100_000,
    "objects nested deep": b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 20_000,
    "a comment": b'{"query": "{ __typename }" /* hello */}',
    "a form": b"query=%7B__typename%7D",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a raw document": b"{ __typename }",
}
"""Bodies that are not requests; each is a BAD_REQUEST."""


def subscribe(payload: bytes) -> bytes:
    """Returns the subscribe message with this payload."""
    return b'{"type": "subscribe", "id": "1", "payload": ' + payload + b"}"


def encoded(document: Document) -> bytes:
    return json.dumps(document.request).encode()
