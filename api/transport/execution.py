"""The one path on which a request is executed, whether it came over HTTP, SSE or WebSocket."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    create_source_event_stream,
    located_error,
    map_source_to_response_event,
)
from graphql import Executor as Execution

from api.access.expiry import until
from api.access.scopes import EVERYBODY, Caller
from api.access.tokens import expired, no_token
from api.errors import Formatted, RequestError, bad_request, describe, refused
from api.plan.plan import Run
from api.plan.plans import Planned, Plans
from api.plan.replay import replaying
from api.transport.documents import Documents, Prepared
from api.transport.failures import tell
from api.transport.room import Seats, for_mutations, for_queries, for_subscriptions

if TYPE_CHECKING:
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.access.rate import Rate
    from api.context import Context
    from api.plan.replay import Middleware
    from api.transport.request import Request

QUERIES: Final = frozenset({OperationType.QUERY})
MUTATIONS: Final = frozenset({OperationType.MUTATION})
SUBSCRIPTIONS: Final = frozenset({OperationType.SUBSCRIPTION})
ANY: Final = QUERIES | MUTATIONS | SUBSCRIPTIONS

NOTHING: Final = "none"
"""The kind of an operation that nobody could tell it from its document."""

_NOT_HERE = {
    OperationType.MUTATION: ("A mutation must be sent with POST.", 405),
    OperationType.SUBSCRIPTION: (
        "A subscription needs a stream: accept text/event-stream, or use a WebSocket.",
        400,
    ),
}


class _Job:
    """An operation that was let in: it goes by a plan, or graphql-core executes it."""

    __slots__ = ("context", "cost", "execution", "kind", "planned", "prepared", "request")

    def __init__(
        self, kind: OperationType, request: Request, prepared: Prepared, context: Context
    ) -> None:
        self.kind = kind
        self.request = request
        self.prepared = prepared
        self.context = context
        self.cost = 0
        self.planned: Planned | None = None
        self.execution: Execution[None] | None = None


class Executor:
    """Executes requests on the schema. `documents` counts how often parsing was saved."""

    def __init__(
        self,
        schema: GraphQLSchema,
        converter: GraphQLCoreConverter,
        context: Context,
        rate: Rate | None = None,
    ) -> None:
        """Raises BadManifest if a trusted document could not be executed."""
        self.documents = Documents(schema, context.limits, introspection=context.introspection)
        self.documents.keep(context.trusted.documents)
        self.ways = Counter(plan=0, core=0, replay=0)
        """How many operations went by a plan, by graphql-core, or by both because something was wrong."""
        self._plans = Plans(schema, converter, context.limits)
        self._schema = schema
        self._context = context
        self._rate = rate
        self._rooms = {
            OperationType.QUERY: for_queries(context.limits),
            OperationType.MUTATION: for_mutations(context.limits),
        }
        self._subscriptions = for_subscriptions(context.limits)

    async def execute(
        self, request: Request, allowed: frozenset[OperationType], caller: Caller = EVERYBODY
    ) -> Formatted:
        """The response to a query or a mutation. Raises RequestError if it gets no `data`."""
        began, kind = perf_counter(), NOTHING
        try:
            job = await self._admit(request, allowed, caller)
            kind = job.kind.value
            response = await self._finish(job)
        except RequestError as error:
            self._over(request, caller, kind, began, error.errors)
            raise
        self._over(request, caller, kind, began, response.get("errors", ()))
        return _with_cost(response, job.cost) if _wants_cost(request) else response

    def stream(
        self, request: Request, allowed: frozenset[OperationType], caller: Caller = EVERYBODY
    ) -> AsyncGenerator[Formatted, None]:
        """The responses to any operation, one by one; of a query or a mutation there is one.

        Raises RequestError, at once or from the generator, if there is no `data`, or no more.
        """
        began, kind = perf_counter(), NOTHING
        try:
            job = self._build(request, allowed, caller)
        except RequestError as error:
            if self._rate is None or not error.well_formed:
                self._over(request, caller, kind, began, error.errors)
                raise
            results, cost = _refused(error), 1
        else:
            kind, cost = job.kind.value, job.cost
            results = self._results(job, cost if _wants_cost(request) else None)
        if self._rate is not None:
            results = _paid(self._rate, caller, max(1, cost), results)
        if (left := caller.seconds_left) is not None:
            results = until(left, results)
        return self._told(results, request, caller, kind, began)

    async def _told(
        self,
        results: AsyncGenerator[Formatted, None],
        request: Request,
        caller: Caller,
        kind: str,
        began: float,
    ) -> AsyncGenerator[Formatted, None]:
        """The same results; the operation is over with the last one."""
        errors: Sequence[Formatted] = ()
        async with aclosing(results):
            try:
                async for result in results:
                    errors = result.get("errors", ())
                    yield result
            except RequestError as error:
                errors = error.errors
                raise
            finally:
                self._over(request, caller, kind, began, errors)

    def _over(
        self,
        request: Request,
        caller: Caller,
        kind: str,
        began: float,
        errors: Sequence[Formatted],
    ) -> None:
        """The log is told of an operation that failed, and whoever measures of each."""
        if errors:
            tell(errors, caller, name=request.operation_name, since=began)
        code = errors[0]["extensions"]["code"] if errors else "ok"
        self._context.measure(kind, code, perf_counter() - began)

    async def _admit(
        self, request: Request, allowed: frozenset[OperationType], caller: Caller
    ) -> _Job:
        """The same as _build, and the caller has paid for it; what is refused costs 1 too."""
        if self._rate is None:
            return self._build(request, allowed, caller)
        cost = 1
        try:
            job = self._build(request, allowed, caller)
            cost = job.cost
        finally:
            await self._rate.take(caller.account, max(1, cost))
        return job

    def _build(self, request: Request, allowed: frozenset[OperationType], caller: Caller) -> _Job:
        """What is to be executed, and what it costs."""
        if not (caller.known or self._context.introspection):
            raise no_token()  # nothing is public, so nothing needs to be read to know that
        prepared = self.documents.prepare(self._context.trusted.text_of(request))
        kind = prepared.operation(request.operation_name)
        if kind not in allowed:
            raise bad_request(*_NOT_HERE[kind])
        if not (caller.known or prepared.public):
            raise no_token()
        if (left := caller.seconds_left) is not None and left <= 0:
            raise expired()  # it was valid when the connection was opened
        self._seats(kind).check()
        job = _Job(kind, request, prepared, self._context_of(caller))
        job.planned = self._plans.find(
            prepared.plannable, request.operation_name, request.variables or {}, prepared.literals
        )
        if job.planned is not None and job.planned.plan.scopes <= caller.scopes:
            variables = job.planned.values
        else:
            job.planned, job.execution = None, self._execution(job)
            variables = job.execution.variable_values.coerced
        job.cost = prepared.cost(request.operation_name, variables)
        if job.cost > self._context.limits.cost_budget:
            raise refused(
                "COST_LIMIT_EXCEEDED", [_too_dear(job.cost, self._context.limits.cost_budget)]
            )
        return job

    def _execution(self, job: _Job, *middleware: Middleware) -> Execution[None]:
        """graphql-core's. Raises BAD_USER_INPUT."""
        execution = Execution.build(
            self._schema,
            job.prepared.read(),
            context_value=job.context,
            raw_variable_values=job.request.variables,
            operation_name=job.request.operation_name,
            middleware=middleware or None,
            max_coercion_errors=self._context.limits.coercion_errors,
            hide_suggestions=True,
        )
        if isinstance(execution, list):
            raise refused("BAD_USER_INPUT", execution)
        return execution

    def _seats(self, kind: OperationType) -> Seats:
        return self._rooms[kind].seats if kind in self._rooms else self._subscriptions

    async def _finish(self, job: _Job) -> Formatted:
        """The response. Stays in the room as long as it takes."""
        return await self._rooms[job.kind].hold(self._carry_out(job))

    async def _carry_out(self, job: _Job) -> Formatted:
        if job.planned is not None:
            run = Run(job.context, job.planned.values)
            data = await job.planned.plan.answer(run)
            if data is not None:
                self.ways["plan"] += 1
                return {"data": data}
            self.ways["replay"] += 1
            job.execution = self._execution(job, replaying(run.outcomes))
        else:
            self.ways["core"] += 1
        assert job.execution is not None
        result: Any = job.execution.execute_operation()
        return _response(await result if job.execution.is_awaitable(result) else result)

    async def _results(self, job: _Job, cost: int | None) -> AsyncGenerator[Formatted, None]:
        """`cost` is told with every response, if the client wants to know it."""
        if job.kind is not OperationType.SUBSCRIPTION:
            yield _with_cost(await self._finish(job), cost)
            return
        assert job.execution is not None
        with self._subscriptions:
            async with aclosing(_events(job.execution)) as responses:
                async for response in responses:
                    yield _with_cost(response, cost)

    def _context_of(self, caller: Caller) -> Context:
        return self._context if caller is EVERYBODY else replace(self._context, caller=caller)


async def _events(execution: Execution[None]) -> AsyncGenerator[Formatted, None]:
    source = await _source(execution)
    async with aclosing(map_source_to_response_event(execution, source)) as results:
        try:
            async for result in results:
                yield _response(result)
        except Exception as error:
            raise RequestError([describe(located_error(error))]) from error


async def _refused(error: RequestError) -> AsyncGenerator[Formatted, None]:
    raise error
    yield {}  # what makes it a generator


async def _paid(
    rate: Rate, caller: Caller, cost: int, results: AsyncGenerator[Formatted, None]
) -> AsyncGenerator[Formatted, None]:
    async with aclosing(results):
        await rate.take(caller.account, cost)
        async for result in results:
            yield result


async def _source(execution: Execution[None]) -> AsyncIterable[object]:
    source = create_source_event_stream(execution)
    if not isinstance(source, (ExecutionResult, AsyncIterable)):
        source = await source
    if isinstance(source, ExecutionResult):
        raise RequestError([describe(error) for error in source.errors or ()])
    return source


def _wants_cost(request: Request) -> bool:
    return request.extensions is not None and request.extensions.get("cost") is True


def _with_cost(response: Formatted, cost: int | None) -> Formatted:
    return response if cost is None else {**response, "extensions": {"cost": cost}}


def _too_dear(cost: int, budget: int) -> GraphQLError:
    return GraphQLError(
        f"The operation costs {cost}, and one may cost {budget} at most: ask for fewer or shorter"
        " lists (LIMIT_COST_BUDGET).",
        extensions={"cost": cost, "budget": budget},
    )


def _response(result: ExecutionResult) -> Formatted:
    if result.errors is None:
        return {"data": result.data}
    return {"errors": [describe(error) for error in result.errors], "data": result.data}
