"""What is too large or too deep for a plan is answered all the same, by graphql-core."""

from __future__ import annotations

from typing import Any, cast

import pytest

from api.context import Context
from api.limits import Limits
from api.transport.execution import Executor
from api.transport.kinds import ANY
from api.transport.request import Request
from tests.api import wild
from tests.api.edge import ALICE, edge

BOUNDLESS = Limits(depth=1_000, selections=1_000, cost_budget=1_000)
DEEPEST = 170
"""Fields in one another: the parser of graphql-core has room for some 190."""


@pytest.mark.parametrize(("letters", "way"), [(200, "plan"), (2_000, "core")])
async def test_a_plan_has_twenty_thousand_characters_at_most(letters: int, way: str) -> None:
    names = [f"{letter * letters}" for letter in "abcdefghijkl"]
    query = f'{{ user(id: "{ALICE}") {{ {" ".join(f"{name}: name" for name in names)} }} }}'
    async with edge() as made:
        made.reads.put(ALICE, "Alice")
        for _ in range(2):
            assert await made.ask(query) == {"data": {"user": dict.fromkeys(names, "Alice")}}
        made.executor.admission.ways.clear()
        await made.ask(query)
        assert +made.executor.admission.ways == {way: 1}


@pytest.mark.parametrize("field", ["child", "sure"], ids=["as a value", "by a call"])
async def test_an_operation_as_deep_as_the_parser_reads_is_answered_each_time(field: str) -> None:
    script = wild.Script(1, 0.0, "Query")
    context = Context(store=cast("Any", script), reads=cast("Any", None), limits=BOUNDLESS)
    executor = Executor(wild.SCHEMA, wild.CONVERTER, context)
    text = "{ sure { " + f"{field} {{ " * DEEPEST + "size" + " }" * DEEPEST + " } }"
    request = Request(query=text, operation_name=None, variables=None)
    first, second = [await executor.execute(request, ANY) for _ in range(2)]
    assert "errors" not in first
    assert second == first
