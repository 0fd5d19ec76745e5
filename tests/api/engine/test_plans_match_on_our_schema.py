"""As test_plans_match_graphql_core.py, on the schema of the service: users, orders, commands, refusals."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis_graphql import nodes

from api.engine.execution.configuration import EngineConfiguration
from api.engine.execution.executor import Executor
from api.engine.operation_type import ANY
from api.engine.request import Request
from api.errors import RequestError
from api.resolvers.context import Context
from api.resolvers.pagination import encode_cursor
from api.schema.merged import CONVERTER, SCHEMA
from domain.users import refusals
from domain.write.database import WriteModelUnavailable
from readside.errors import ReadModelRebuilding, ReadModelUnavailable
from tests.api.engine.operation_strategies import SCALARS, Asked, mutations_of, queries_of
from tests.api.engine.test_plans_match_graphql_core import (
    ROOMY,
    SETTINGS,
    NoPlans,
    Told,
    encoded,
    errors_of,
    nulls_of,
)
from tests.api.in_memory_app import ALICE, MemoryReads, ScriptedStore, order_id

KNOWN = {
    **SCALARS,
    "ID": st.sampled_from([*[str(ALICE)] * 6, order_id(ALICE, 0), order_id(ALICE, 9), "x"]).map(
        nodes.String
    ),
    "Int": st.sampled_from([1, 2, 3, 3, 2, 1, 2, 0]).map(nodes.Int),
    "String": st.sampled_from(
        [encode_cursor("3"), encode_cursor("2"), encode_cursor(str(ALICE))]
    ).map(nodes.String),
    "EmailAddress": st.sampled_from([*["alice@example.com"] * 5, "x"]).map(nodes.String),
    "Money": st.sampled_from(["1.50", "x"]).map(nodes.String),
}
ORDERS = {"OPEN": 1_050, "COMPLETED": 7, "CANCELLED": 0}
"""The totals of Alice's orders by status, oldest first."""

SHOWN = [
    *(*ORDERS, "10.50", encode_cursor("2"), '"hasNextPage":true', '"totalCount":3'),
    *('"nodes":[{"__typename":"Order"', '"node":{"__typename":"User"', '"hasPreviousPage":true'),
]
"""Texts that must occur in responses of plans."""

PAGES = Asked(
    "query($id: ID!, $after: String) { user(id: $id) { one: orders(first: 2) { ...page }"
    " two: orders(first: 2, after: $after) { ...page } } }"
    " fragment page on OrderConnection { totalCount edges { cursor node { ...order } }"
    " nodes { ...order } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
    " fragment order on Order { __typename id status total placedAt completedAt }",
    None,
    {"id": str(ALICE), "after": encode_cursor("2")},
)
NODES = Asked(
    "query($ids: [ID!]!, $id: ID!) { nodes(ids: $ids) { ...node } node(id: $id) { ...node } }"
    " fragment node on Node { __typename id ... on Order { status total }"
    " ... on User { name orders(last: 2) { nodes { id } pageInfo { hasPreviousPage } } } }",
    None,
    {"id": str(ALICE), "ids": [order_id(ALICE, number) for number in (2, 9, 0)]},
)

NEVER = Asked(
    "query($id: ID!) { user(id: $id, minVersion: 2) { name } users(first: 3, last: 3) { totalCount } }",
    None,
    {"id": "00000000-7d4e-7bbb-8a51-0a6f3c1d2e4f"},
)
"""Two errors, of which the second ends the whole response before the first is known."""

OUTCOMES = st.sampled_from(
    [
        None,
        None,
        refusals.UserNotFound(message="none such"),
        WriteModelUnavailable("away"),
        RuntimeError("a surprise"),
    ]
)
FAILURES = st.sampled_from([*[None] * 8, ReadModelUnavailable(), ReadModelRebuilding()])

CONFIGURATION = EngineConfiguration(limits=ROOMY)


class CoreAlone(Executor):
    """An executor without plans."""

    def __init__(self, context: Context) -> None:
        super().__init__(SCHEMA, CONVERTER, context, CONFIGURATION)
        self.engine._plans = NoPlans(  # noqa: SLF001 (there is no other way to be without them)
            SCHEMA, CONVERTER, ROOMY
        )


async def told(
    make: Callable[[Context], Executor], asked: Asked, outcome: Any, failure: Any
) -> Any:
    """Returns the outcome of the second of two requests, and its execution path."""
    store, reads = ScriptedStore(), MemoryReads()
    reads.version_timeout_seconds = 0
    reads.put(ALICE, "Alice", 3)
    for status, total in ORDERS.items():
        reads.put_order(ALICE, status, total)
    reads.failure = failure
    store.outcome = outcome or store.outcome
    executor = make(
        Context(
            store=cast("Any", store),
            read_model=cast("Any", reads),
        )
    )
    request = Request(query=asked.text, operation_name=asked.name, variables=asked.variables)
    for _ in range(2):
        executor.engine.execution_paths.clear()
        store.commands.clear()
        try:
            response = await executor.execute(request, ANY)
        except RequestError as error:
            response = {"data": error.status, "errors": error.errors}
    order = [type(command).__name__ for command in store.commands]
    data = response["data"]
    data = data if isinstance(data, int) else encoded(data)
    found = Told(data, list(response.get("errors", [])), Counter(order), order)
    return found, next(iter(executor.engine.execution_paths), "refused")


@pytest.mark.parametrize("asking", [queries_of, mutations_of], ids=["query", "mutation"])
def test_a_plan_and_graphql_core_agree_on_our_schema(
    asking: Callable[..., st.SearchStrategy[Asked]],
) -> None:
    ways: Counter[str] = Counter()
    shown: Counter[str] = Counter()

    @SETTINGS
    @example(PAGES, None, None)
    @example(NODES, None, None)
    @example(replace(NODES, variables={**NODES.variables, "id": "x"}), None, None)
    @example(NODES, None, ReadModelRebuilding())
    @example(replace(PAGES, variables={**PAGES.variables, "after": "no cursor"}), None, None)
    @example(NEVER, None, None)
    @given(asking(SCHEMA, KNOWN), OUTCOMES, FAILURES)
    def agree(asked: Asked, outcome: Any, failure: Any) -> None:
        alone, _ = asyncio.run(told(CoreAlone, asked, outcome, failure))
        planned = lambda context: Executor(SCHEMA, CONVERTER, context, CONFIGURATION)  # noqa: E731
        again, way = asyncio.run(told(planned, asked, outcome, failure))
        ways[way] += 1
        if way == "plan":
            shown.update(each for each in SHOWN if each.encode() in again.data)
        assert again.data == alone.data
        assert nulls_of(again) == nulls_of(alone)
        assert again.order == alone.order
        if len(alone.errors) < 2 and alone.data != b"null":
            assert len(errors_of(again)) == len(alone.errors)
        elif len(alone.errors) < 2:  # it ended fields of which the other execution reports errors
            assert set(errors_of(again).values()) == {1}

    agree()
    assert ways["plan"] + ways["replay"] > ways.total() / 2
    assert ways["plan"] > ways.total() / 8
    assert set(shown) == set(SHOWN)
