"""Executes a request from admission to response, the same for HTTP, SSE and WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import TYPE_CHECKING, Final

from api.auth.scopes import UNRESTRICTED, Caller
from api.auth.tokens import end_at_expiry
from api.engine.execution.admission import Admission
from api.engine.execution.engine import Engine
from api.engine.execution.failure_log import log_failure
from api.engine.execution.response_size import Encode, bounded, encode
from api.engine.operation_type import UNKNOWN
from api.errors import Formatted, RequestError, internal

if TYPE_CHECKING:
    from graphql import GraphQLSchema
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.auth.rate_limit import RateLimiter
    from api.engine.execution.batch_budget import BatchBudget
    from api.engine.execution.configuration import EngineConfiguration
    from api.engine.execution.engine import AdmittedOperation
    from api.engine.operation_type import OperationTypes
    from api.engine.request import Request
    from api.engine.resolver_info import CallerContext
    from api.engine.stream_position import StreamPosition

_CHARACTERS_PER_COST: Final = 50
"""Characters of a document whose parsing and validation take as long as the smallest request."""


class Executor:
    """Executes requests on a schema. Resolvers get the context, with the caller of the request in it."""

    def __init__(
        self,
        schema: GraphQLSchema,
        converter: GraphQLCoreConverter,
        context: CallerContext,
        configuration: EngineConfiguration,
        rate: RateLimiter | None = None,
        encode: Encode = encode,
    ) -> None:
        """Raises InvalidManifest if a trusted document could not be executed."""
        self.engine = Engine(schema, converter, configuration.limits)
        self.admission = Admission(schema, self.engine, context, configuration)
        self._measure = configuration.measure
        self._response_bytes = configuration.limits.response_bytes
        self._rate = rate
        self._encode = encode

    async def execute(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller = UNRESTRICTED,
        budget: BatchBudget | None = None,
    ) -> Formatted:
        """Returns the response to a query or a mutation. Raises RequestError. A batch shares the `budget`."""
        started, type_ = perf_counter(), UNKNOWN
        try:
            operation = (
                self._admit(request, allowed, caller, budget)
                if self._rate is None
                else await self._charged(self._rate, request, allowed, caller, budget)
            )
            type_ = operation.type
            response = self._bounded(operation, await self._run(operation))
        except Exception as error:
            refusal = _refusal(error)
            self._record(request, caller, type_, started, refusal.errors)
            raise refusal from None
        self._record(request, caller, type_, started, response.get("errors", ()))
        return _with_cost(response, operation.cost) if _wants_cost(request) else response

    async def with_texts(self, requests: Sequence[Request], caller: Caller) -> Sequence[Request]:
        """Returns requests with the registered documents that they name; here as they come."""
        return requests

    async def stream(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller = UNRESTRICTED,
        position: StreamPosition | None = None,
    ) -> AsyncGenerator[Formatted, None]:
        """Yields the responses of `open_stream`. Raises RequestError, also if the operation is refused."""
        async with aclosing(await self.open_stream(request, allowed, caller, position)) as results:
            async for result in results:
                yield result

    async def open_stream(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller = UNRESTRICTED,
        position: StreamPosition | None = None,
    ) -> AsyncGenerator[Formatted, None]:
        """Returns the responses to any operation; a query or a mutation has one.

        A subscription begins at the position and moves it. Raises RequestError if the operation is refused,
        before the transport has sent a status; the generator raises it if there is no `data`, or no more.
        """
        started = perf_counter()
        try:
            operation = (
                self._admit(request, allowed, caller, None, position)
                if self._rate is None
                else await self._charged(self._rate, request, allowed, caller, None, position)
            )
        except Exception as error:
            refusal = _refusal(error)
            self._record(request, caller, UNKNOWN, started, refusal.errors)
            raise refusal from None
        results = self._results(operation, operation.cost if _wants_cost(request) else None)
        if (left := caller.seconds_left) is not None:
            results = end_at_expiry(left, results)
        return self._recorded(results, request, caller, operation.type, started)

    async def _recorded(
        self,
        results: AsyncGenerator[Formatted, None],
        request: Request,
        caller: Caller,
        type_: str,
        started: float,
    ) -> AsyncGenerator[Formatted, None]:
        """Yields the results; logs and measures the operation after the last one."""
        errors: Sequence[Formatted] = ()
        async with aclosing(results):
            try:
                async for result in results:
                    errors = result.get("errors", ())
                    yield result
            except Exception as error:
                refusal = _refusal(error)
                errors = refusal.errors
                raise refusal from None
            finally:
                self._record(request, caller, type_, started, errors)

    def refuse(self, error: Exception, caller: Caller) -> RequestError:
        """Returns the refusal of a request that was not executed; logs and measures it as others."""
        refusal = _refusal(error)
        log_failure(refusal.errors, caller)
        self._measure(UNKNOWN, _outcome(refusal.errors), 0.0)
        return refusal

    def _record(
        self,
        request: Request,
        caller: Caller,
        type_: str,
        started: float,
        errors: Sequence[Formatted],
    ) -> None:
        """Logs an operation that failed, and measures every one."""
        if errors:
            log_failure(errors, caller, name=request.operation_name, started=started)
        self._measure(type_, _outcome(errors), perf_counter() - started)

    def _admit(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller,
        budget: BatchBudget | None,
        position: StreamPosition | None = None,
    ) -> AdmittedOperation:
        """Returns the operation. Raises RequestError."""
        return self.admission.admit(request, allowed, caller, budget, position)

    async def _charged(
        self,
        rate: RateLimiter,
        request: Request,
        allowed: OperationTypes,
        caller: Caller,
        budget: BatchBudget | None,
        position: StreamPosition | None = None,
    ) -> AdmittedOperation:
        """Returns the operation, charged to the caller; a refused one costs 1. Raises RequestError.

        A document that is parsed costs more, by its length.
        """
        cost, documents = 1, self.admission.documents
        parsed_before = documents.parsed
        try:
            operation = self._admit(request, allowed, caller, budget, position)
            cost = max(1, operation.cost)
        finally:
            cost += (documents.parsed - parsed_before) // _CHARACTERS_PER_COST
            await rate.spend(caller.rate_key, cost)
        return operation

    def _run(self, operation: AdmittedOperation) -> Awaitable[Formatted]:
        """Returns the response to a query or a mutation. Raises OVERLOADED or DEADLINE_EXCEEDED."""
        return self.admission.deadlines[operation.type].run(self.engine.run, operation)

    def _bounded(self, operation: AdmittedOperation, response: Formatted) -> Formatted:
        """Returns the response with its data encoded. Raises RESPONSE_TOO_LARGE."""
        return bounded(response, operation.type, self._response_bytes, self._encode)

    async def _results(
        self, operation: AdmittedOperation, cost: int | None
    ) -> AsyncGenerator[Formatted, None]:
        """Yields the responses, each with the cost if the client requested it."""
        if operation.type != "subscription":
            yield _with_cost(self._bounded(operation, await self._run(operation)), cost)
            return
        with self.admission.subscriptions:
            async with aclosing(self.engine.subscribe(operation)) as responses:
                async for response in responses:
                    yield _with_cost(self._bounded(operation, response), cost)


def _refusal(error: Exception) -> RequestError:
    return error if isinstance(error, RequestError) else internal(error)


def _outcome(errors: Sequence[Formatted]) -> str:
    """Returns `ok`, or the code that the operation is counted under: INTERNAL before all others."""
    codes = [error["extensions"]["code"] for error in errors] or ["ok"]
    return "INTERNAL" if "INTERNAL" in codes else str(codes[0])


def _wants_cost(request: Request) -> bool:
    return request.extensions is not None and request.extensions.get("cost") is True


def _with_cost(response: Formatted, cost: int | None) -> Formatted:
    return response if cost is None else {**response, "extensions": {"cost": cost}}
