"""An operation that was let in, and what it answers: by a plan if there is one, else by graphql-core."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from graphql import (
    ExecutionResult,
    Executor,
    create_source_event_stream,
    located_error,
    map_source_to_response_event,
)

from api.errors import Formatted, RequestError, describe
from api.plan.plan import Run
from api.plan.replay import replaying

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.context import Context
    from api.documents.kinds import Kind
    from api.plan.plans import Planned

Execution = Executor[None]
"""graphql-core's, of one operation."""


class Job:
    """Goes by a plan, or `build` gives what graphql-core executes, with the middleware that it is given."""

    __slots__ = ("_build", "_context", "_execution", "_planned", "_ways", "cost", "kind")

    def __init__(
        self,
        kind: Kind,
        context: Context,
        build: Callable[..., Execution],
        ways: Counter[str],
    ) -> None:
        """`ways` counts how the answer comes about."""
        self.kind = kind
        self.cost = 0
        self._context = context
        self._build = build
        self._ways = ways
        self._planned: Planned | None = None
        self._execution: Execution | None = None

    def by_plan(self, planned: Planned) -> None:
        self._planned = planned

    def by_core(self) -> Execution:
        """Raises BAD_USER_INPUT."""
        self._execution = self._build()
        return self._execution

    async def response(self) -> Formatted:
        """That of a query or a mutation."""
        if self._planned is not None:
            run = Run(self._context, self._planned.values)
            data = await self._planned.plan.answer(run)
            if data is not None:
                self._ways["plan"] += 1
                return {"data": data}
            self._ways["replay"] += 1
            self._execution = self._build(replaying(run.outcomes))
        else:
            self._ways["core"] += 1
        assert self._execution is not None
        result: Any = self._execution.execute_operation()
        return _response(await result if self._execution.is_awaitable(result) else result)

    async def events(self) -> AsyncGenerator[Formatted, None]:
        """Those of a subscription. Raises RequestError."""
        assert self._execution is not None
        source = await _source(self._execution)
        async with aclosing(map_source_to_response_event(self._execution, source)) as results:
            try:
                async for result in results:
                    yield _response(result)
            except Exception as error:
                raise RequestError([describe(located_error(error))]) from error


async def _source(execution: Execution) -> AsyncIterable[object]:
    source = create_source_event_stream(execution)
    if not isinstance(source, (ExecutionResult, AsyncIterable)):
        source = await source
    if isinstance(source, ExecutionResult):
        raise RequestError([describe(error) for error in source.errors or ()])
    return source


def _response(result: ExecutionResult) -> Formatted:
    if result.errors is None:
        return {"data": result.data}
    return {"errors": [describe(error) for error in result.errors], "data": result.data}
