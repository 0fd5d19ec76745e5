"""Events of subscriptions: responses of a plan are those of graphql-core, and equal ones are made once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import pytest

from api.auth.scopes import UNRESTRICTED
from api.engine.compiler.plan import EventResponse, Plan
from api.engine.execution.executor import Executor
from api.engine.operation_type import ANY
from api.engine.request import Request
from api.errors import Formatted
from api.resolvers.context import Context
from api.schema.merged import CONVERTER, SCHEMA
from api.schema.users.types.user_types import User
from readside.errors import ReadModelUnavailable
from readside.projections.users import UserRow
from tests.api.engine.test_plans_match_graphql_core import encoded
from tests.api.engine.test_plans_match_on_our_schema import CONFIGURATION, CoreAlone
from tests.api.in_memory_app import ALICE, MemoryReads, ScriptedStore

OF_EVENT = "subscription($id: ID!) { userChanged(id: $id) { id version name email orderCount } }"
WITH_ORDERS = (
    "subscription($id: ID!, $n: Int = 2) { userChanged(id: $id) { name orders(first: $n)"
    " { totalCount nodes { id status total } } } }"
)
SUBSCRIPTIONS = [
    OF_EVENT,
    WITH_ORDERS,
    "subscription($id: ID!) { changed: userChanged(id: $id) { __typename name name called: name } }",
    (
        "subscription($id: ID!) { ...root } fragment root on Subscription"
        " { userChanged(id: $id) { ...user } }"
        " fragment user on User { name version ... on Node { id } }"
    ),
    (
        "subscription($id: ID!, $no: Boolean = false) { userChanged(id: $id)"
        " { version name @include(if: $no) email @skip(if: $no) } }"
    ),
]


class UnreadableOrders(MemoryReads):
    """A read model in memory, of which no order can be read."""

    def _reply(self, verb: str, key: str, *arguments: str) -> Any:
        if "BYSCORE" in arguments:
            raise ReadModelUnavailable
        return super()._reply(verb, key, *arguments)


class ExecutorOnReads:
    """An executor with plans, or with graphql-core alone, on a read model in memory."""

    def __init__(self, reads: MemoryReads, *, plans: bool = True) -> None:
        self.reads = reads
        reads.put(ALICE, "Alice")
        reads.put_order(ALICE, "OPEN", 1_050)
        context = Context(store=cast("Any", ScriptedStore()), read_model=cast("Any", reads))
        self.executor = (
            Executor(SCHEMA, CONVERTER, context, CONFIGURATION) if plans else CoreAlone(context)
        )
        self.paths = self.executor.engine.execution_paths

    async def open(self, text: str) -> AsyncGenerator[Formatted, None]:
        request = Request(query=text, variables={"id": str(ALICE)})
        return await self.executor.open_stream(request, ANY)

    async def responses(self, text: str) -> list[Formatted]:
        """Returns the responses to the present state, and to a change."""
        self.reads.put(ALICE, "Alice", version=1)
        async with aclosing(await self.open(text)) as results:
            first = await anext(results)
            self.reads.put(ALICE, "Bob", version=2)
            return [first, await anext(results)]


@pytest.mark.parametrize("text", SUBSCRIPTIONS)
async def test_a_plan_responds_to_events_as_graphql_core_does(text: str) -> None:
    compiled = ExecutorOnReads(MemoryReads())
    core = ExecutorOnReads(MemoryReads(), plans=False)
    for _ in range(3):
        responses = [await one.responses(text) for one in (compiled, core)]
        assert encoded(responses[0]) == encoded(responses[1])
        assert not any("errors" in response for response in responses[0])
    assert +compiled.paths == {"core": 2, "plan": 4}
    assert +core.paths == {"core": 6}


async def test_an_error_of_a_field_is_worded_by_graphql_core() -> None:
    compiled = ExecutorOnReads(UnreadableOrders())
    core = ExecutorOnReads(UnreadableOrders(), plans=False)
    for _ in range(2):
        responses = [await one.responses(WITH_ORDERS) for one in (compiled, core)]
        assert encoded(responses[0]) == encoded(responses[1])
        for response in responses[0]:
            assert [error["path"] for error in response["errors"]] == [["userChanged", "orders"]]
    assert +compiled.paths == {"core": 2, "replay": 2}


async def test_the_response_to_an_event_is_made_once_for_all_who_select_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = ExecutorOnReads(MemoryReads())
    await made.responses(OF_EVENT)
    executed = []
    run = Plan.run

    async def counted(self: Plan, *arguments: Any) -> Any:
        executed.append(arguments)
        return await run(self, *arguments)

    monkeypatch.setattr(Plan, "run", counted)
    watching = [await made.open(OF_EVENT) for _ in range(5)]
    first = await asyncio.gather(*(anext(results) for results in watching))
    made.reads.put(ALICE, "Zoe", version=3)
    second = await asyncio.gather(*(anext(results) for results in watching))
    assert encoded([first[0]["data"], second[0]["data"]]).count(b'"name"') == 2
    assert b'"name":"Zoe"' in encoded(second[0])
    for responses in (first, second):  # each copies its bytes into a response of its own
        assert len({bytes(response["data"]) for response in responses}) == 1
    assert len(executed) == 2
    for results in watching:
        await results.aclose()


async def test_nothing_of_an_event_is_kept_after_its_turn_of_the_event_loop() -> None:
    made = ExecutorOnReads(MemoryReads())
    for _ in range(2):
        await made.responses(OF_EVENT)
    assert made.paths["plan"] == 2
    await asyncio.sleep(0)
    gc.collect()
    assert not any(isinstance(one, EventResponse) for one in gc.get_objects())


async def test_an_event_that_changes_in_place_gets_a_response_for_each_state() -> None:
    plan_of = ExecutorOnReads(MemoryReads())
    await plan_of.responses(OF_EVENT)
    request = Request(query=OF_EVENT, variables={"id": str(ALICE)})
    operation = plan_of.executor.admission.admit(request, ANY, UNRESTRICTED)
    assert operation.match is not None
    event = User.from_row(
        UserRow(
            id=str(ALICE),
            version=1,
            created_at="2026-01-01T00:00:00.000Z",
            updated_at="2026-01-01T00:00:00.000Z",
            name="x",
            email="alice@example.com",
            order_count=0,
            lifetime_value=0,
        )
    )
    engine = plan_of.executor.engine
    responses = []
    for name in ("Alice", "Bob"):
        event.name = name
        responses.append(encoded(await engine._respond(operation, operation.match, event)))  # noqa: SLF001
    assert [b"Alice" in responses[0], b"Bob" in responses[1]] == [True, True]


async def test_what_resolvers_read_for_an_event_is_read_for_each_subscription() -> None:
    made = ExecutorOnReads(MemoryReads())
    await made.responses(WITH_ORDERS)
    made.paths.clear()
    for total in (2, 3):
        async with aclosing(await made.open(WITH_ORDERS)) as results:
            assert b'"totalCount":%d' % (total - 1) in encoded(await anext(results))
        made.reads.put_order(ALICE, "OPEN", total)
    assert +made.paths == {"plan": 2}
