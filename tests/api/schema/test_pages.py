"""Pages of connections follow the Relay Cursor Connections Specification, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from api.resolvers.pagination import encode_cursor
from tests.api.in_memory_app import ALICE, edge
from tests.api.users import put_users

NUMBER = 4
USER = UUID(int=ALICE.int & ~0xFFFF)
"""The first of put_users."""

PAGE = "{ edges { cursor } pageInfo { hasPreviousPage hasNextPage startCursor endCursor } }"
DECLARED = "$first: Int, $after: String, $last: Int, $before: String"
GIVEN = "first: $first, after: $after, last: $last, before: $before"
USERS = f"query({DECLARED}) {{ page: users({GIVEN}) {PAGE} }}"
ORDERS = f'query({DECLARED}) {{ user(id: "{USER}") {{ page: orders({GIVEN}) {PAGE} }} }}'

CURSORS = {
    USERS: [encode_cursor(str(UUID(int=USER.int + number))) for number in range(NUMBER)][::-1],
    ORDERS: [encode_cursor(str(number + 1)) for number in range(NUMBER)][::-1],
}
"""Of each list, newest first."""


def combinations(cursors: list[str]) -> Iterator[dict[str, Any]]:
    """Yields all combinations of arguments, with null for each that is not given."""
    sizes = range(1, NUMBER + 2)
    counts = [(None, None), *((size, None) for size in sizes), *((None, size) for size in sizes)]
    for (first, last), after, before in product(counts, [None, *cursors], [None, *cursors]):
        yield {"first": first, "after": after, "last": last, "before": before}


def expected(cursors: list[str], variables: dict[str, Any]) -> dict[str, Any]:
    """Returns the page as the specification computes it from the complete list."""
    first, after, last, before = map(variables.get, ("first", "after", "last", "before"))
    start = 0 if after is None else cursors.index(after) + 1
    edges = cursors[start : None if before is None else cursors.index(before)]
    page = edges[:first] if last is None else edges[-last:]
    return {
        "edges": [{"cursor": cursor} for cursor in page],
        "pageInfo": {
            "hasPreviousPage": after is not None if last is None else len(edges) > last,
            "hasNextPage": len(edges) > len(page) if last is None else before is not None,
            "startCursor": page[0] if page else None,
            "endCursor": page[-1] if page else None,
        },
    }


@pytest.mark.parametrize("query", CURSORS, ids=["users", "orders"])
async def test_a_page_is_the_one_of_the_specification(query: str) -> None:
    async with edge() as made:
        put_users(made.reads, NUMBER)
        for _ in range(NUMBER):
            made.reads.put_order(USER, "OPEN", 100)
        for given in combinations(CURSORS[query]):
            page = expected(CURSORS[query], given)
            absent = {name: value for name, value in given.items() if value is not None}
            for variables in (given, absent):
                data = (await made.ask(query, **variables))["data"]
                assert (data.get("user") or data)["page"] == page
        assert made.executor.engine.execution_paths["plan"]


@pytest.mark.parametrize("first", ["", "first: null, "])
async def test_without_a_number_a_page_has_the_default(first: str) -> None:
    async with edge() as made:
        put_users(made.reads, 25)
        for _ in range(2):
            data = (await made.ask(f"{{ users({first}after: null) {{ nodes {{ id }} }} }}"))["data"]
            assert len(data["users"]["nodes"]) == 20


async def test_a_cursor_longer_than_any_position_is_refused_before_a_read() -> None:
    cursor = encode_cursor(f"name:{'a' * 6_000}\t{ALICE}")
    async with edge() as made:
        for argument in ("after", "before"):
            query = (
                f"query($c: String!) {{ users(orderBy: NAME, {argument}: $c) {{ totalCount }} }}"
            )
            error = await made.error(query, c=cursor)
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}
        assert made.reads.asked == 0
