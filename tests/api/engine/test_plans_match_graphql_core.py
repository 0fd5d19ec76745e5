"""A plan and graphql-core give the same response, for every operation and every outcome of resolvers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.auth.scopes import UNRESTRICTED, Caller
from api.engine.compiler.plan_cache import PlanCache, PlanMatch
from api.engine.execution.configuration import EngineConfiguration
from api.engine.execution.executor import Executor
from api.engine.operation_type import ANY
from api.engine.request import Request
from api.errors import RequestError
from api.limits import Limits
from api.resolvers.context import Context
from tests.api.engine import random_schema
from tests.api.engine.operation_strategies import Asked, mutations_of, queries_of
from tests.api.with_limits import with_limits

ROOMY = with_limits(lists=9, aliases=100, depth=30)
CALLERS = st.sampled_from([UNRESTRICTED, UNRESTRICTED, Caller(scopes=frozenset({"users:write"}))])
SEEDS = st.integers(0, 2**32)
SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    phases=[Phase.explicit, Phase.generate],  # what fails is small enough, and shrinking takes long
    suppress_health_check=list(HealthCheck),
)


class NoPlans(PlanCache):
    def find(self, *_: object, **__: object) -> PlanMatch | None:
        return None


class CoreAlone(Executor):
    """An executor without plans."""

    def __init__(self, context: Context, limits: Limits = ROOMY) -> None:
        configuration = EngineConfiguration(limits=limits)
        super().__init__(
            random_schema.SCHEMA, random_schema.CONVERTER, context, configuration, encode=encoded
        )
        self.engine._plans = NoPlans(  # noqa: SLF001 (there is no other way to be without them)
            random_schema.SCHEMA, random_schema.CONVERTER, limits
        )


@dataclass(frozen=True)
class Told:
    """The response of an executor, and the resolvers that it called."""

    data: Any
    """The data as JSON; the status if there is no data."""
    errors: list[dict[str, Any]]
    calls: Counter[str]
    order: list[str]
    """The order of the mutations."""


async def told(
    executor: Executor, asked: Asked, caller: Caller, script: random_schema.Script
) -> Told:
    script.begin()
    request = Request(query=asked.text, operation_name=asked.name, variables=asked.variables)
    try:
        response = await executor.execute(request, ANY, caller)
    except RequestError as error:
        return Told(error.status, error.errors, script.calls, script.order)
    errors = response.get("errors", [])
    return Told(encoded(response["data"]), errors, script.calls, script.order)


def encoded(data: object) -> bytes:
    return msgspec.json.encode(data, enc_hook=repr)  # EmailAddress lets everything through


def executor_of(context: Context, limits: Limits = ROOMY) -> Executor:
    """Returns an executor of the random schema, whose data no JSON encoder supports."""
    configuration = EngineConfiguration(limits=limits)
    return Executor(
        random_schema.SCHEMA, random_schema.CONVERTER, context, configuration, encode=encoded
    )


def both(asked: Asked, caller: Caller, script: random_schema.Script) -> tuple[Told, Told, str]:
    """Returns the outcomes of graphql-core and of a repeated request, and the execution path of that."""
    context = Context(store=cast("Any", script), read_model=cast("Any", None))
    core, executor = CoreAlone(context), executor_of(context)

    async def ask() -> tuple[Told, Told]:
        alone = await told(core, asked, caller, script)
        await told(executor, asked, caller, script)
        executor.engine.execution_paths.clear()
        return alone, await told(executor, asked, caller, script)

    alone, again = asyncio.run(ask())
    assert not {"plan", "replay"} & set(+core.engine.execution_paths)
    return alone, again, next(iter(executor.engine.execution_paths), "refused")


def errors_of(told: Told) -> Counter[bytes]:
    """Returns the errors without their ids, which are new each time."""
    return Counter(msgspec.json.encode(_without_id(error)) for error in told.errors)


def nulls_of(told: Told) -> Counter[bytes]:
    """Returns the errors at each null; of several errors below one null, only that there is one.

    Fields run side by side, so it is open which of two errors ends what is above both.
    """
    if isinstance(told.data, int):
        return errors_of(told)
    found: Counter[bytes] = Counter()
    for error in told.errors:
        null = _null(msgspec.json.decode(told.data), error["path"])
        if null == error["path"]:
            found[msgspec.json.encode(_without_id(error))] += 1
        else:
            found[msgspec.json.encode(null)] = 1
    return found


def _null(data: Any, path: list[str | int]) -> list[str | int]:
    """Returns the value at a path, or the null on the way to it."""
    for depth, step in enumerate(path):
        if data is None:
            return path[:depth]
        data = data[step]
    return path


def _without_id(error: dict[str, Any]) -> dict[str, Any]:
    extensions = {name: each for name, each in error["extensions"].items() if name != "errorId"}
    return {**error, "extensions": extensions}


def agree(asked: Asked, caller: Caller, script: random_schema.Script) -> str:
    """Asserts that both execution paths agree; returns the one that was taken."""
    alone, again, way = both(asked, caller, script)
    assert again.data == alone.data
    same = errors_of if len(script.wrong) < 2 else nulls_of
    assert same(again) == same(alone)
    assert again.calls <= alone.calls
    assert again.order == alone.order
    if not alone.errors:
        assert again.calls == alone.calls
    return way


@pytest.mark.parametrize("faults", [0.0, 0.03, 0.3])
@pytest.mark.parametrize(
    ("asking", "top"),
    [(queries_of, "Query"), (mutations_of, "Mutation")],
    ids=["query", "mutation"],
)
def test_a_plan_and_graphql_core_agree(
    asking: Callable[..., st.SearchStrategy[Asked]], top: str, faults: float
) -> None:
    ways: Counter[str] = Counter()

    @SETTINGS
    @given(asking(random_schema.SCHEMA), CALLERS, SEEDS)
    def one(asked: Asked, caller: Caller, seed: int) -> None:
        ways[agree(asked, caller, random_schema.Script(seed, faults, top))] += 1

    one()
    assert ways["plan"] + ways["replay"] > ways.total() / 2
    assert ways["plan"] > ways.total() / 4
    assert ways["replay"] or faults < 0.3
