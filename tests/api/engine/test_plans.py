"""Which operations run by a plan, which do not, and what holds for both."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import TYPE_CHECKING, cast

import pytest
from graphql import OperationDefinitionNode

from api.engine.resolver_info import ResolverInfo
from api.limits import Limits
from domain.write.database import WriteModelUnavailable
from readside.errors import ReadModelUnavailable
from tests.api.http.test_leaks import websocket
from tests.api.in_memory_app import ALICE, edge
from tests.api.tokens import bearer, signed, with_tokens
from tests.api.with_limits import with_limits

if TYPE_CHECKING:
    from api.resolvers.context import Context, Info

QUERY = f'{{ user(id: "{ALICE}") {{ name }} }}'
TWO = (
    'mutation { a: createUser(input: {name: "A", email: "a@example.com"}) { id }'
    ' b: createUser(input: {name: "B", email: "b@example.com"}) { id } }'
)


async def test_a_repeated_operation_runs_by_a_plan() -> None:
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        answers = [await made.ask(QUERY) for _ in range(3)]
        assert answers == [{"data": {"user": {"name": "Alice"}}}] * 3
        assert +made.executor.engine.execution_paths == {"core": 1, "plan": 2}


async def test_a_resolver_that_fails_is_not_called_again() -> None:
    async with edge() as made:
        await made.ask(QUERY)
        made.reads.failure, asked = ReadModelUnavailable(), made.reads.asked
        error = await made.error(QUERY)
        assert error["extensions"] == {"code": "READ_MODEL_UNAVAILABLE"}
        assert error["path"] == ["user"]
        assert made.reads.asked == asked + 1
        assert made.executor.engine.execution_paths["replay"] == 1


async def test_two_mutations_run_once_each_and_in_order_though_they_fail() -> None:
    async with edge() as made:
        await made.ask(TWO)
        made.store.commands.clear()
        made.store.outcome = WriteModelUnavailable("away")
        response = await made.ask(TWO)
        assert [error["path"] for error in response["errors"]] == [["a"], ["b"]]
        names = [getattr(command, "name", None) for command in made.store.commands]
        assert names == ["A", "B"]
        assert +made.executor.engine.execution_paths == {"core": 1, "replay": 1}


async def test_the_deadline_cancels_a_plan_and_its_pending_reads() -> None:
    async with edge(Limits(query_seconds=0.02)) as made:
        twice = f'{{ a: user(id: "{ALICE}") {{ name }} b: user(id: "{ALICE}") {{ id }} }}'
        await made.ask(twice)
        made.reads.unanswered, before = [], asyncio.all_tasks()
        error = await made.error(twice)
        assert error["extensions"] == {"code": "DEADLINE_EXCEEDED"}
        assert [asked.cancelled() for asked, _ in made.reads.unanswered] == [True, True]
        assert asyncio.all_tasks() == before


async def test_a_plan_above_the_concurrency_limit_is_refused() -> None:
    async with edge(Limits(concurrency=1)) as made:
        await made.ask(QUERY)
        made.reads.unanswered = []
        waiting = asyncio.create_task(made.ask(QUERY))
        while not made.reads.unanswered:
            await asyncio.sleep(0)
        assert (await made.error(QUERY))["extensions"] == {"code": "OVERLOADED"}
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert made.reads.unanswered[0][0].cancelled()
        made.reads.unanswered = None
        assert "errors" not in await made.ask(QUERY)


async def test_a_caller_without_the_scope_is_refused_although_there_is_a_plan() -> None:
    async with edge(access=with_tokens()) as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(2):
            await made.post(QUERY, headers=bearer(signed(scope="users:read")))
        assert made.executor.engine.execution_paths["plan"] == 1
        response = await made.post(QUERY, headers=bearer(signed(scope="users:write")))
        assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["FORBIDDEN"]
        assert made.executor.engine.execution_paths["plan"] == 1


async def test_the_cost_limit_holds_for_a_plan() -> None:
    query = "query($n: Int!) { users(first: $n) { nodes { name } } }"
    async with edge(Limits(cost_budget=50)) as made:
        for _ in range(2):
            assert "errors" not in await made.ask(query, n=3)
        assert made.executor.engine.execution_paths["plan"] == 1
        assert (await made.error(query, n=90))["extensions"]["code"] == "COST_LIMIT_EXCEEDED"


async def test_a_plan_does_not_keep_an_evicted_document() -> None:
    async with edge(with_limits(cached_documents=1)) as made:
        for name in ("Forgotten", "Remembered"):
            for _ in range(2):
                await made.ask(f"query {name} {{ __typename }}")
        assert made.executor.engine.execution_paths["plan"] == 2
        gc.collect()
        operations = [
            one.name.value
            for one in gc.get_objects()
            if isinstance(one, OperationDefinitionNode) and one.name
        ]
        assert operations.count("Remembered") == 1
        assert "Forgotten" not in operations


@pytest.mark.parametrize("limits", [with_limits(plans=1), with_limits(plan_characters=600)])
async def test_the_number_of_cached_plans_is_limited(limits: Limits) -> None:
    other = f'{{ user(id: "{ALICE}") {{ id }} }}'
    async with edge(limits) as made:
        for query in (QUERY, QUERY, other, other, QUERY):
            await made.ask(query)
        plans = made.executor.engine._plans  # noqa: SLF001 (how much is kept shows nowhere else)
        assert len(plans._plans) == 1  # noqa: SLF001


async def test_beyond_eight_combinations_of_skip_graphql_core_executes() -> None:
    switches = "abcd"
    declared = ", ".join(f"${name}: Boolean!" for name in switches)
    fields = " ".join(f"{name}: name @skip(if: ${name})" for name in switches)
    query = f'query({declared}) {{ user(id: "{ALICE}") {{ id {fields} }} }}'
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        ways = [
            {name: bool(at >> bit & 1) for bit, name in enumerate(switches)} for at in range(16)
        ]
        for variables in (ways[0], *ways):
            shown = {name: "Alice" for name, skipped in variables.items() if not skipped}
            assert await made.ask(query, **variables) == {
                "data": {"user": {"id": str(ALICE), **shown}}
            }
        assert +made.executor.engine.execution_paths == {"core": 1 + 8, "plan": 8}


async def test_introspection_runs_without_a_plan() -> None:
    async with edge() as made:
        for _ in range(3):
            answer = await made.ask("{ __schema { queryType { name } } }")
            assert answer == {"data": {"__schema": {"queryType": {"name": "Query"}}}}
        assert +made.executor.engine.execution_paths == {"core": 3}


async def test_names_with_a_meaning_in_python_are_ordinary_names() -> None:
    keys = ["__proto__", "data", "value", "class", "__class__", "pending", "None", "__debug__"]
    fields = " ".join(f"{key}: name" for key in keys)
    roots = " ".join(f'{key}: user(id: "{ALICE}") {{ {key}: name }}' for key in keys[:6])
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        for query in (f'{{ user(id: "{ALICE}") {{ {fields} }} }}', f"{{ {roots} }}"):
            first, second = await made.ask(query), await made.ask(query)
            assert json.dumps(first) == json.dumps(second)
            assert "errors" not in first
        assert +made.executor.engine.execution_paths == {"core": 2, "plan": 2}


async def test_a_query_as_an_event_stream_runs_by_a_plan() -> None:
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(2):
            response = await made.post(QUERY, headers={"accept": "text/event-stream"})
            assert '{"data":{"user":{"name":"Alice"}}}' in response.text
        assert +made.executor.engine.execution_paths == {"core": 1, "plan": 1}


async def test_a_query_over_a_websocket_runs_by_a_plan() -> None:
    async with edge() as made, websocket(made) as client:
        made.reads.put(ALICE, "Alice")
        for _ in range(2):
            client.tell(type="subscribe", id="1", payload={"query": QUERY})
            assert (await client.heard())["payload"] == {"data": {"user": {"name": "Alice"}}}
            assert (await client.heard())["type"] == "complete"
        assert +made.executor.engine.execution_paths == {"core": 1, "plan": 1}


def test_the_type_checker_refuses_a_resolver_that_uses_more_of_info_than_a_plan_passes() -> None:
    def resolver(info: Info) -> object:
        return info.field_name  # type: ignore[attr-defined] # mypy tells if there is nothing to ignore

    with pytest.raises(AttributeError):
        resolver(ResolverInfo(cast("Context", None), frozenset()))
