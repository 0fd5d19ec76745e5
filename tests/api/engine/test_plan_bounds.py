"""graphql-core executes operations that are too large or too deep for a plan."""

from __future__ import annotations

from typing import Any, cast

import pytest

from api.engine.execution.configuration import EngineConfiguration
from api.engine.execution.executor import Executor
from api.engine.operation_type import ANY
from api.engine.request import Request
from api.errors import RequestError
from api.resolvers.context import Context
from tests.api.engine import random_schema
from tests.api.in_memory_app import ALICE, edge
from tests.api.with_limits import with_limits

BOUNDLESS = with_limits(depth=1_000, selections=1_000, cost_budget=1_000)
DEPTHS = range(150, 201, 2)
"""Nested fields: graphql-core parses fewer than 200; the later stages support a few less."""


@pytest.mark.parametrize(("letters", "way"), [(200, "plan"), (2_000, "core")])
async def test_a_plan_has_twenty_thousand_characters_at_most(letters: int, way: str) -> None:
    names = [f"{letter * letters}" for letter in "abcdefghijkl"]
    query = f'{{ user(id: "{ALICE}") {{ {" ".join(f"{name}: name" for name in names)} }} }}'
    async with edge(with_limits(name_characters=letters)) as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(2):
            assert await made.ask(query) == {"data": {"user": dict.fromkeys(names, "Alice")}}
        made.executor.engine.execution_paths.clear()
        await made.ask(query)
        assert +made.executor.engine.execution_paths == {way: 1}


@pytest.mark.parametrize("field", ["child", "sure"], ids=["as a value", "by a call"])
async def test_an_operation_is_executed_each_time_or_refused_however_deep_it_is(field: str) -> None:
    script = random_schema.Script(1, 0.0, "Query")
    context = Context(store=cast("Any", script), read_model=cast("Any", None))
    configuration = EngineConfiguration(limits=BOUNDLESS)
    executor = Executor(random_schema.SCHEMA, random_schema.CONVERTER, context, configuration)
    told = []
    for depth in DEPTHS:
        text = "{ sure { " + f"{field} {{ " * depth + "size" + " }" * depth + " } }"
        first, second = [await outcome(executor, text) for _ in range(2)]
        assert second == first
        told.append("data" if "data" in first else first["refused"])
    assert (told[0], told[-1]) == ("data", "GRAPHQL_PARSE_FAILED")
    assert set(told) <= {"data", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"}


async def outcome(executor: Executor, text: str) -> dict[str, Any]:
    """Returns the response, or the code of the refusal."""
    request = Request(query=text, operation_name=None, variables=None)
    try:
        response = await executor.execute(request, ANY)
    except RequestError as error:
        return {"refused": error.errors[0]["extensions"]["code"]}
    assert "errors" not in response
    return response
