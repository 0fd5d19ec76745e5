"""A plan coerces and converts input objects in variables as graphql-core and Strawberry do."""

from __future__ import annotations

from typing import Any, cast

import pytest

from api.auth.scopes import UNRESTRICTED
from api.limits import Limits
from api.resolvers.context import Context
from tests.api.engine import random_schema
from tests.api.engine.operation_strategies import Asked
from tests.api.engine.test_plans_match_graphql_core import CoreAlone, executor_of, told

PLAIN = {"label": "a", "address": "a@example.com"}
DEEP: dict[str, Any] = {"one": PLAIN}
for _ in range(250):
    DEEP = {"one": PLAIN, "like": DEEP}

RIGHT = [
    {"label": "a"},
    {**PLAIN},
    {**PLAIN, "address": None},
    {**PLAIN, "colour": "RED", "sizeOf": 3, "place": 1},
    {**PLAIN, "colour": None, "sizeOf": None, "place": -1.5},
]
WRONG = [
    None,
    [],
    [PLAIN],
    "a",
    {},
    {"address": "a@example.com"},
    {**PLAIN, "label": None},
    {**PLAIN, "label": 1},
    {**PLAIN, "address": 1},
    {**PLAIN, "colour": "PINK"},
    {**PLAIN, "sizeOf": "1"},
    {**PLAIN, "sizeOf": 2**31},
    {**PLAIN, "place": "1"},
    {**PLAIN, "place": None},
    {**PLAIN, "size_of": 1},
    {**PLAIN, "more": None},
    {**PLAIN, "colour": "RED", "sizeOf": 3, "place": 1, "more": 1},
]


def marked(mark: object) -> Asked:
    text = "query A($mark: Mark!, $other: Mark) { marked(mark: $mark, other: $other) }"
    return Asked(text, "A", {"mark": mark})


def marks(given: object) -> Asked:
    return Asked("query A($marks: Marks!) { many(marks: $marks) }", "A", {"marks": given})


async def agreed(asked: Asked, right: Asked) -> str:
    """Asserts that a plan and graphql-core agree; returns the execution path with a plan."""
    script = random_schema.Script(1, 0.0, "Query")
    context = Context(store=cast("Any", script), read_model=cast("Any", None))
    executor = executor_of(context, Limits())
    for _ in range(2):
        await told(executor, right, UNRESTRICTED, script)
    executor.engine.execution_paths.clear()
    by_plan = await told(executor, asked, UNRESTRICTED, script)
    by_core = await told(CoreAlone(context, Limits()), asked, UNRESTRICTED, script)
    assert by_plan == by_core
    return next(iter(executor.engine.execution_paths), "refused")


@pytest.mark.parametrize("given", RIGHT)
async def test_an_object_that_is_right_goes_by_the_plan(given: object) -> None:
    assert await agreed(marked(given), marked(PLAIN)) == "plan"
    for each in (
        {"one": given, "otherOne": given},
        {"one": given, "like": {"one": given, "like": None}},
    ):
        assert await agreed(marks(each), marks({"one": PLAIN})) == "plan"


@pytest.mark.parametrize("given", WRONG)
async def test_an_object_that_is_wrong_is_refused_in_the_same_words(given: object) -> None:
    assert await agreed(marked(given), marked(PLAIN)) == "refused"
    assert await agreed(marks({"one": given}), marks({"one": PLAIN})) == "refused"


async def test_objects_within_their_like_without_end_are_refused() -> None:
    assert await agreed(marks(DEEP), marks({"one": PLAIN})) == "refused"
