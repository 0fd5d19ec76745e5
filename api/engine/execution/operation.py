"""An operation that was let in, and what it answers: by a plan if there is one, else by graphql-core."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import (
    ExecutionResult,
    Executor,
    GraphQLError,
    create_source_event_stream,
    located_error,
    map_source_to_response_event,
)

from api.engine.compiler.fallback import Middleware, replaying
from api.engine.compiler.plan import PlanRun
from api.engine.compiler.plan_cache import PlanMatch
from api.errors import Formatted, RequestError, describe_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.engine.operation_type import OperationType
    from api.resolvers.context import Context

GraphQLCoreExecution = Executor[None]
"""graphql-core's, of one operation."""


@dataclass(kw_only=True, slots=True)
class AdmittedOperation:
    """Goes by a plan, or is executed by graphql-core."""

    kind: OperationType
    cost: int
    context: Context
    going: PlanMatch | GraphQLCoreExecution
    execute: Callable[[Middleware], GraphQLCoreExecution]
    """Gives what graphql-core executes with this middleware."""
    ways: Counter[str]
    """How often an answer came about in each way."""

    async def response(self) -> Formatted:
        """That of a query or a mutation."""
        if not isinstance(self.going, PlanMatch):
            self.ways["core"] += 1
            return await self._executed(self.going)
        run = PlanRun(self.context, self.going.values)
        data = await self.going.plan.answer(run)
        if data is not None:
            self.ways["plan"] += 1
            return {"data": data}
        self.ways["replay"] += 1
        await asyncio.sleep(
            0
        )  # the replay takes long enough for a turn of the event loop of its own
        return await self._executed(self.execute(replaying(run.outcomes)))

    async def events(self) -> AsyncGenerator[Formatted, None]:
        """Those of a subscription. Raises RequestError."""
        assert not isinstance(self.going, PlanMatch)  # no subscription has a plan
        source = await self._source(self.going)
        async with aclosing(map_source_to_response_event(self.going, source)) as results:
            try:
                async for result in results:
                    yield self._response(result)
            except Exception as error:
                raise RequestError(self._described([located_error(error)])) from error

    async def _executed(self, execution: GraphQLCoreExecution) -> Formatted:
        result: Any = execution.execute_operation()
        return self._response(await result if execution.is_awaitable(result) else result)

    async def _source(self, execution: GraphQLCoreExecution) -> AsyncIterable[object]:
        source = create_source_event_stream(execution)
        if not isinstance(source, (ExecutionResult, AsyncIterable)):
            source = await source
        if isinstance(source, ExecutionResult):
            raise RequestError(self._described(source.errors or ()))
        return source

    def _response(self, result: ExecutionResult) -> Formatted:
        if result.errors is None:
            return {"data": result.data}
        return {"errors": self._described(result.errors), "data": result.data}

    def _described(self, errors: Sequence[GraphQLError]) -> list[Formatted]:
        return describe_all(errors, self.context.limits.response_errors)
