"""Each limit on the size of a document holds exactly, wherever the excess is."""

from __future__ import annotations

import cProfile
import json
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from api.engine.documents.document_cache import DocumentCache
from api.engine.operation_type import MUTATIONS, QUERIES
from api.engine.request import from_body
from api.errors import RequestError
from api.limits import Limits
from api.schema.merged import SCHEMA
from domain.value_parsing import Invalid
from tests.api.engine.hostile_documents import DOCUMENTS
from tests.api.in_memory_app import edge
from tests.api.with_limits import with_limits
from tests.benchmarks import refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_CALLS = 300_000
"""A call takes about 0.1 µs here, so that is about 30 ms; the limit of the design is 50 ms."""


def _many(text: str, number: int) -> str:
    return " ".join(text.replace("#", str(index)) for index in range(number))


def _users(selections: str) -> str:
    return f"{{ users {{ nodes {{ {selections} }} }} }}"


def _deep(levels: int) -> str:
    """Returns nested fields of any names, which do not matter before validation."""
    return "{ a " * levels + "}" * levels


SIZES: dict[str, tuple[str, Callable[[int], str]]] = {
    "fields in one another": ("depth", _deep),
    "fields in one another, in fragments": (
        "depth",
        lambda n: f"{{ ...F }} fragment F on Query {_deep(n)}",
    ),
    "fields in one another, in inline fragments": (
        "depth",
        lambda n: f"{{ ... {{ ... on Query {_deep(n)} }} }}",
    ),
    "aliases": ("aliases", lambda n: f"{{ {_many('a#: users { totalCount }', n)} }}"),
    "aliases in lists": (
        "aliases",
        lambda n: _users(_many("a#: orders { totalCount }", n)),
    ),
    "aliases of fields of payloads": (
        "aliases",
        lambda n: f"mutation {{ createUser {{ {_many('a#: user { id }', n)} }} }}",
    ),
    "aliases below others": (
        "aliases",
        lambda n: f"{{ a: users {{ {_many('a#: totalCount', n - 1)} }} }}",
    ),
    "aliases in fragments": (
        "aliases",
        lambda n: (
            f"{{ ...F {_many('a#: users { totalCount }', n - 2)} }}"
            " fragment F on Query { b: user { id } c: user { id } }"
        ),
    ),
    "fields at the top": ("root_fields", lambda n: f"{{ {'__typename ' * n} }}"),
    "fields at the top, in fragments": (
        "root_fields",
        lambda n: (
            f"{{ ... {{ __typename }} ...F }} fragment F on Query {{ {'__typename ' * (n - 1)} }}"
        ),
    ),
    "selections": ("selections", lambda n: _users(_many("a#", n - 2))),
    "fields again and again": ("repeats", lambda n: _users("id " * (n + 1))),
    "fields again in inline fragments": ("repeats", lambda n: _users("... { id } " * (n + 1))),
    "members of a list": (
        "members",
        lambda n: f"{{ users(first: [{'1 ' * n}]) {{ totalCount }} }}",
    ),
    "members of an object": (
        "members",
        lambda n: f"{{ users(first: {{{_many('a#: 1', n)}}}) {{ totalCount }} }}",
    ),
    "members of lists in lists": (
        "members",
        lambda n: f"{{ users(first: [{'[1] ' * (n // 2)}{'1 ' * (n % 2)}]) {{ totalCount }} }}",
    ),
    "directives in one place": (
        "directives_of_node",
        lambda n: f"{{ __typename {_many('@a#', n)} }}",
    ),
    "directives of an operation": (
        "directives_of_node",
        lambda n: f"query {_many('@a#', n)} {{ id }}",
    ),
    "directives of a variable": (
        "directives_of_node",
        lambda n: f"query($a: Int {_many('@a#', n)}) {{ id }}",
    ),
    "directives of a fragment": (
        "directives_of_node",
        lambda n: f"{{ ...F }} fragment F on Query {_many('@a#', n)} {{ id }}",
    ),
    "directives of a spread": (
        "directives_of_node",
        lambda n: f"{{ ...F {_many('@a#', n)} }} fragment F on Query {{ id }}",
    ),
    "directives of an inline fragment": (
        "directives_of_node",
        lambda n: f"{{ ... {_many('@a#', n)} {{ id }} }}",
    ),
    "directives all over": ("directives", lambda n: _users(_many("a# @b", n))),
    "fragments": ("fragments", lambda n: f"{{ id }} {_many('fragment F# on Query { id }', n)}"),
}


def told(query: str, limits: Limits) -> str:
    """Returns the messages of all errors of the document."""
    try:
        DocumentCache(SCHEMA, limits).get(query)
    except RequestError as error:
        return " ".join(each["message"] for each in error.errors)
    return ""


class Calls:
    """Counts calls of functions, of C too: the same number on every machine.

    The profiler reads its clock when a call begins and when it ends, and the clock is a counter. All of it
    runs in C, while sys.setprofile would call a function of Python twice for each call.
    """

    def __init__(self) -> None:
        self._ticks = count()
        self._reads = 0
        self.profile = cProfile.Profile(self._ticks.__next__, 1)

    @property
    def number(self) -> int:
        """The calls until now."""
        self._reads += 1
        return (next(self._ticks) + 1 - self._reads) // 2


@contextmanager
def counted() -> Iterator[Calls]:
    calls = Calls()
    with calls.profile:
        yield calls


@pytest.mark.parametrize(("setting", "query"), SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("limit", [6, 9])
def test_a_limit_holds_from_the_first_one_above_it(
    setting: str, query: Callable[[int], str], limit: int
) -> None:
    limits = with_limits(**{setting: limit})
    name = f" (LIMIT_{setting.upper()})" if setting in Limits.model_fields else ""
    refusal = f"at most {limit} are allowed{name}."
    assert refusal not in told(query(limit), limits)
    assert f"There are {limit + 1} " in told(query(limit + 1), limits)
    assert refusal in told(query(limit + 1), limits)


@pytest.mark.parametrize(
    "orders",
    ["orders { nodes { id } }", "orders { ... { nodes { id } } }", "...F"],
)
def test_nested_lists_are_limited(orders: str) -> None:
    fragment = "fragment F on User { orders { edges { node { id } } } }" if "F" in orders else ""
    query = f"{_users(orders)} {fragment}"
    assert told(query, with_limits(lists=2)) == ""
    assert "2 lists in one another; at most 1 are allowed." in told(query, with_limits(lists=1))


def test_lists_next_to_one_another_are_not_nested() -> None:
    query = f"{{ a: {_users('id')[1:-1]} b: {_users('id')[1:-1]} }}"
    assert told(query, with_limits(lists=1)) == ""


def test_the_selections_of_a_fragment_count_each_time_it_is_spread() -> None:
    query = "{ ...F ... { ...F } } fragment F on Query { a: users { totalCount } }"
    assert told(query, Limits(aliases=2)) == ""
    assert "There are 2 aliases" in told(query, Limits(aliases=1))


RENAMED = {
    "scalars": (_many("a#: name", 480), ""),
    "the type": (_many("a#: __typename", 480), ""),
    "scalars of objects": ("orders { nodes { " + _many("a#: total", 470) + " } }", ""),
    "scalars in fragments": (
        _many("...F#", 9),
        _many(f"fragment F# on User {{ {_many('a#: name', 40)} }}", 9),
    ),
}


@pytest.mark.parametrize(("fields", "fragments"), RENAMED.values(), ids=RENAMED)
def test_renamed_fields_that_read_nothing_by_themselves_are_no_aliases_of_the_limit(
    fields: str, fragments: str
) -> None:
    query = f"{{ users(first: 5) {{ nodes {{ {fields} }} }} }} {fragments}"
    assert told(query, Limits(aliases=1)) == ""


def test_each_operation_is_measured_for_itself() -> None:
    fields = "a: users { totalCount } b: users { totalCount }"
    query = f"query A {{ {fields} }} query B {{ {fields} }}"
    assert told(query, Limits(aliases=2)) == ""
    assert told(query, Limits(aliases=1)).count("There are 2 aliases") == 2


def test_introspection_counts_as_one_field() -> None:
    query = "{ __schema { types { fields { type { ofType { ofType { name } } } } } } }"
    assert told(query, with_limits(depth=1, lists=1)) == ""


HOSTILE = refusals.DOCUMENTS | {document.name: document.query for document in DOCUMENTS}


@pytest.mark.parametrize("query", HOSTILE.values(), ids=HOSTILE)
def test_whatever_is_sent_the_work_is_bounded(query: str) -> None:
    with counted() as calls, suppress(RequestError):
        DocumentCache(SCHEMA, Limits()).get(query)
    assert 0 < calls.number < MOST_CALLS


@pytest.mark.parametrize(("value", "text"), refusals.TEXTS.values(), ids=refusals.TEXTS)
def test_whatever_text_is_sent_the_work_is_bounded(
    value: Callable[[str], object], text: str
) -> None:
    with counted() as calls, suppress(Invalid):
        value(text)
    assert 0 < calls.number < MOST_CALLS


def _nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"a": inner}
    return inner


CREATE = "mutation($value: CreateUserInput!) { createUser(input: $value) { id } }"
USER = "query($value: ID!) { user(id: $value) { id } }"
USERS = "query($value: Int!) { users(first: $value) { totalCount } }"

VARIABLES: dict[str, tuple[str, Any]] = {
    "an input of 20,000 unknown fields": (CREATE, {f"a{n}": 1 for n in range(20_000)}),
    "an input nested deep": (CREATE, _nested(400)),
    "20,000 inputs": (CREATE, [{}] * 20_000),
    "an id of 200,000 characters": (USER, "x" * 200_000),
    "20,000 ids": (USER, ["x"] * 20_000),
    "a number that is a text of 200,000 characters": (USERS, "x" * 200_000),
    "20,000 numbers": (USERS, [1] * 20_000),
}


@pytest.mark.parametrize(("query", "value"), VARIABLES.values(), ids=VARIABLES)
async def test_whatever_variables_are_sent_the_work_is_bounded(query: str, value: Any) -> None:
    body = json.dumps({"query": query, "variables": {"value": value}}).encode()
    async with edge() as made:
        made.executor.admission.documents.get(query)
        with counted() as calls, suppress(RequestError):
            await made.executor.execute(from_body(body), QUERIES | MUTATIONS)
    assert 0 < calls.number < MOST_CALLS
