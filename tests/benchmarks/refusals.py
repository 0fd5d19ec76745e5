"""What a hostile request costs the event loop until it is refused, or found good: at most 50 ms each."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from api.engine.documents.document_cache import DocumentCache
from api.engine.request import from_body
from api.errors import RequestError
from api.limits import Limits
from api.schema.merged import SCHEMA
from domain.users import values
from domain.value_parsing import Invalid, parse_money
from tests.benchmarks.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.bench import Bench

T = TypeVar("T")

TRIES = 5


def _many(pattern: str, number: int) -> str:
    return " ".join(pattern.replace("#", str(i)) for i in range(number))


def _users(selections: str) -> str:
    return f"{{ users {{ nodes {{ {selections} }} }} }}"


_EVERY = _many("...F#", 60)

DOCUMENTS = {
    "10,000 aliases": f"{{ {_many('a#: __typename', 10_000)} }}",
    "600 aliases": _users(_many("a#: name", 600)),
    "10,000 unknown fields": f"{{ {_many('f#', 10_000)} }}",
    "1,900 unknown fields": f"{{ {_many('f#', 1_900)} }}",
    "1,900 times the same field": _users("name " * 1_900),
    "120 times the same list": _users("orders(first: 1) { nodes { id } } " * 120),
    "60 fragments that spread 60": _users("...F0") + _many(f"fragment F# on User {{{_EVERY}}}", 60),
    "38 fragments that spread all later ones": _users("...F0")
    + "".join(
        f"fragment F{i} on User {{ id {' '.join(f'...F{j}' for j in range(i + 1, 38))} }}"
        for i in range(38)
    ),
    "a circle of 40 fragments": _users("...F0")
    + "".join(f"fragment F{i} on User {{ id ...F{(i + 1) % 40} }}" for i in range(40)),
    "480 inline fragments": _users("... { id } " * 480),
    "selections 650 deep": "{a" * 650 + "}" * 650,
    "a list 900 deep": f"{{ user(id: {'[' * 900}{']' * 900}) {{ id }} }}",
    "an object 500 deep": f"{{ users(first: {'{a:' * 500}1{'}' * 500}) {{ totalCount }} }}",
    "a list of 1,900": f"{{ users(first: [{'1 ' * 1_900}]) {{ totalCount }} }}",
    "an object of 600": f"mutation {{ createUser(input: {{{_many('f#: 1', 600)}}}) {{ id }} }}",
    "600 arguments": f"{{ users({_many('a#: 1', 600)}) {{ totalCount }} }}",
    "600 times the same argument": f"{{ users({'first: 1 ' * 600}) {{ totalCount }} }}",
    "900 directives": f"{{ users {'@x' * 900} {{ totalCount }} }}",
    "490 variables": f"query({_many('$v#: Int', 490)}) {{ users {{ totalCount }} }}",
    "a string of 60 kB": f'{{ user(id: "{"x" * 60_000}") {{ id }} }}',
    "a number of 60 kB": f"{{ users(first: {'9' * 60_000}) {{ totalCount }} }}",
    "a comment of 1 MB": f"#{'x' * 1_000_000}\n{{ __typename }}",
    "2,000 comments": "#\n" * 2_000 + "{ __typename }",
    "introspection in circles": f"{{ __schema {{ types {{ {'fields { type { ' * 6} name {'} }' * 6} }} }} }}",
}

BODIES = {
    "JSON 100,000 deep": b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 100_000,
    "JSON that is cut off after 256 KiB": b'{"query": "' + b"x" * 262_000,
}

MARKS = "a" + "\u0301\u0316" * 60_000
TEXTS = {
    "an e-mail address of 250 kB": (values.parse_email, "a@" + "b" * 250_000 + ".com"),
    "an e-mail address of 240 kB of marks": (values.parse_email, MARKS),
    "a name of 240 kB of marks": (values.parse_name, MARKS),
    "money of 250 kB": (parse_money, "9" * 250_000),
}


async def refusals(bench: Bench) -> None:
    async with bench.step("refusing what is hostile"):
        figures = [_figure(name, _prepare, text) for name, text in DOCUMENTS.items()]
        figures += [_figure(name, from_body, body) for name, body in BODIES.items()]
        figures += [_figure(name, value, text) for name, (value, text) in TEXTS.items()]
        bench.found.figures += figures


def _prepare(text: str) -> None:
    DocumentCache(SCHEMA, Limits()).get(text)  # new ones: the next try shall not find it there


def _figure(name: str, work: Callable[[T], object], given: T) -> Figure:
    """The shortest of a few tries, since whatever makes one longer is the machine's doing."""
    took = []
    for _ in range(TRIES):
        began = time.perf_counter()
        with suppress(RequestError, Invalid):
            work(given)
        took.append(time.perf_counter() - began)
    return Figure(name=name, value=min(took) * 1e3, unit="ms")
