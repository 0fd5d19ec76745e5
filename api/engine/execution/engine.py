"""Runs admitted operations: by the compiled plan if there is one, else by graphql-core.

If a plan meets an error, graphql-core runs the operation on the outcomes of the resolvers already called, so
every error is graphql-core's own and no resolver is called twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing, nullcontext
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from graphql import (
    ExecutionResult,
    Executor,
    GraphQLError,
    create_source_event_stream,
    located_error,
)

from api.engine.compiler.fallback import Middleware, replaying
from api.engine.compiler.plan import EventResponse, PlanRun
from api.engine.compiler.plan_cache import PlanCache, PlanMatch
from api.engine.execution.response_size import encode
from api.errors import Formatted, RequestError, describe_all, refused

if TYPE_CHECKING:
    from graphql import GraphQLSchema
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.engine.documents.document_cache import Operation, PreparedDocument
    from api.engine.literals import Values
    from api.engine.operation_type import OperationType
    from api.engine.request import Request
    from api.engine.resolver_info import CallerContext
    from api.limits import Limits

GraphQLCoreExecution = Executor[None]
"""graphql-core's execution of one operation, with coerced variables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdmittedOperation:
    """An operation that passed admission."""

    type: OperationType
    cost: int
    """What the rate limit charges."""
    request: Request
    document: PreparedDocument
    context: CallerContext
    match: PlanMatch | None
    execution: GraphQLCoreExecution | None
    """None if a plan runs the operation; a subscription has it too, to open its stream."""


class Engine:
    """Executes operations on a schema. `execution_paths` counts how often each path was taken."""

    def __init__(
        self, schema: GraphQLSchema, converter: GraphQLCoreConverter, limits: Limits
    ) -> None:
        self.execution_paths = Counter(plan=0, core=0, replay=0)
        """Executions by a plan, by graphql-core, and by both because the plan met an error."""
        self._plans = PlanCache(schema, converter, limits)
        self._schema = schema
        self._limits = limits

    def prepare(
        self,
        request: Request,
        document: PreparedDocument,
        operation: Operation,
        context: CallerContext,
    ) -> tuple[PlanMatch | None, GraphQLCoreExecution | None, Values]:
        """Returns the plan or graphql-core's execution of an operation, and its coerced variables.

        A subscription may have both. Raises BAD_USER_INPUT.
        """
        match = self._plans.find(operation.plan_source, request.variables or {}, document.literals)
        if match is not None and not match.plan.scopes <= context.caller.scopes:
            match = None
        if match is not None and operation.type != "subscription":
            return match, None, match.values
        execution = self._with_graphql_core(request, document, context)
        return match, execution, document.values(execution.variable_values.coerced)

    async def run(self, operation: AdmittedOperation) -> Formatted:
        """Returns the response to a query or a mutation."""
        if operation.match is not None:
            return await self._run_plan(operation, operation.match)
        assert operation.execution is not None
        self.execution_paths["core"] += 1
        return await self._run_graphql_core(operation.execution)

    async def subscribe(self, operation: AdmittedOperation) -> AsyncGenerator[Formatted, None]:
        """Yields the responses to a subscription, the same object to equal ones. Raises RequestError."""
        execution, match = operation.execution, operation.match
        assert execution is not None
        source = await self._source(execution)
        async with aclosing(source) if isinstance(source, AsyncGenerator) else nullcontext():
            try:
                async for event in source:
                    if match is None:
                        self.execution_paths["core"] += 1
                        yield await self._run_graphql_core(
                            execution.build_per_event_executor(event)
                        )
                    else:
                        yield await self._respond(operation, match, event)
            except Exception as error:
                raise RequestError(self._described([located_error(error)])) from error

    async def _respond(
        self, operation: AdmittedOperation, match: PlanMatch, event: Any
    ) -> Formatted:
        """Returns the response to an event.

        If the plan responds to events alone, that is the same as to an equal event of the same turn of the
        event loop, in which all subscriptions to what has changed receive it.
        """
        plan = match.plan
        if plan.last_response is not None and plan.last_response.event == event:
            self.execution_paths["plan"] += 1
            return plan.last_response.response
        response = await self._run_plan(operation, match, event)
        if plan.responds_to_event_alone and "errors" not in response:
            response["data"] = msgspec.Raw(encode(response["data"]))
            plan.last_response = EventResponse(copy(event), response)
            asyncio.get_running_loop().call_soon(plan.forget_response)
        return response

    async def _run_plan(
        self, operation: AdmittedOperation, match: PlanMatch, event: Any = None
    ) -> Formatted:
        run = PlanRun(operation.context, match.values)
        data = await match.plan.run(run, event)
        if data is not None:
            self.execution_paths["plan"] += 1
            return {"data": data}
        self.execution_paths["replay"] += 1
        await asyncio.sleep(0)  # a replay takes long enough to deserve a loop turn of its own
        execution = self._with_graphql_core(
            operation.request, operation.document, operation.context, replaying(run.outcomes)
        )
        if event is not None:
            execution = execution.build_per_event_executor(event)
        return await self._run_graphql_core(execution)

    def _with_graphql_core(
        self,
        request: Request,
        document: PreparedDocument,
        context: CallerContext,
        *middleware: Middleware,
    ) -> GraphQLCoreExecution:
        execution = Executor.build(
            self._schema,
            document.parse(),
            context_value=context,
            raw_variable_values=request.variables,
            operation_name=request.operation_name,
            middleware=middleware or None,
            max_coercion_errors=self._limits.coercion_errors,
            hide_suggestions=True,
        )
        if isinstance(execution, list):
            raise refused("BAD_USER_INPUT", execution)
        return execution

    async def _run_graphql_core(self, execution: GraphQLCoreExecution) -> Formatted:
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
        return describe_all(errors, self._limits.response_errors)
