"""The one path on which a request is executed, whether it came over HTTP, SSE or WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import TYPE_CHECKING

from api.auth.scopes import UNRESTRICTED, Caller
from api.auth.token_expiry import end_at_expiry
from api.engine.execution.admission import Admission
from api.engine.execution.failure_log import tell
from api.engine.execution.response_size import Encode, bounded, encode
from api.engine.operation_type import NOTHING
from api.errors import Formatted, RequestError, internal

if TYPE_CHECKING:
    from graphql import GraphQLSchema
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.auth.rate_limit import RateLimiter
    from api.engine.execution.operation import AdmittedOperation
    from api.engine.operation_type import OperationTypes
    from api.engine.request import Request
    from api.resolvers.context import Context


class Executor:
    """Executes requests on the schema."""

    def __init__(
        self,
        schema: GraphQLSchema,
        converter: GraphQLCoreConverter,
        context: Context,
        rate: RateLimiter | None = None,
        encode: Encode = encode,
    ) -> None:
        """Raises BadManifest if a trusted document could not be executed."""
        self.admission = Admission(schema, converter, context)
        self._context = context
        self._rate = rate
        self._encode = encode

    async def execute(
        self, request: Request, allowed: OperationTypes, caller: Caller = UNRESTRICTED
    ) -> Formatted:
        """The response to a query or a mutation. Raises nothing but RequestError, if it gets no `data`."""
        began, kind = perf_counter(), NOTHING
        try:
            job = (
                self.admission.admit(request, allowed, caller)
                if self._rate is None
                else await self._admit_paid(self._rate, request, allowed, caller)
            )
            kind = job.kind
            response = self._bounded(job, await self._finish(job))
        except Exception as error:
            refusal = _refusal(error)
            self._over(request, caller, kind, began, refusal.errors)
            raise refusal from None
        self._over(request, caller, kind, began, response.get("errors", ()))
        return _with_cost(response, job.cost) if _wants_cost(request) else response

    def stream(
        self, request: Request, allowed: OperationTypes, caller: Caller = UNRESTRICTED
    ) -> AsyncGenerator[Formatted, None]:
        """The responses to any operation, one by one; of a query or a mutation there is one.

        Raises RequestError, at once or from the generator, if there is no `data`, or no more.
        """
        began, kind = perf_counter(), NOTHING
        try:
            job = self.admission.admit(request, allowed, caller)
        except Exception as error:
            refusal = _refusal(error)
            if self._rate is None or not refusal.well_formed:
                self._over(request, caller, kind, began, refusal.errors)
                raise refusal from None
            results, cost = _refused(refusal), 1
        else:
            kind, cost = job.kind, job.cost
            results = self._results(job, cost if _wants_cost(request) else None)
        if self._rate is not None:
            results = _paid(self._rate, caller, max(1, cost), results)
        if (left := caller.seconds_left) is not None:
            results = end_at_expiry(left, results)
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
            except Exception as error:
                refusal = _refusal(error)
                errors = refusal.errors
                raise refusal from None
            finally:
                self._over(request, caller, kind, began, errors)

    def refuse(self, error: Exception, caller: Caller) -> RequestError:
        """Returns the refusal of a request that was not executed; logs and counts it as others."""
        refusal = _refusal(error)
        tell(refusal.errors, caller)
        self._context.measure(NOTHING, _outcome(refusal.errors), 0.0)
        return refusal

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
        self._context.measure(kind, _outcome(errors), perf_counter() - began)

    async def _admit_paid(
        self, rate: RateLimiter, request: Request, allowed: OperationTypes, caller: Caller
    ) -> AdmittedOperation:
        """Lets the operation in, and the caller has paid for it; what is refused costs 1 too."""
        cost = 1
        try:
            job = self.admission.admit(request, allowed, caller)
            cost = job.cost
        finally:
            await rate.spend(caller.rate_key, max(1, cost))
        return job

    def _finish(self, job: AdmittedOperation) -> Awaitable[Formatted]:
        """The response. Stays in the room as long as it takes. Raises OVERLOADED."""
        return self.admission.rooms[job.kind].hold(job.response)

    def _bounded(self, job: AdmittedOperation, response: Formatted) -> Formatted:
        limit = self._context.limits.response_bytes
        return bounded(response, job.kind, limit, self._encode)

    async def _results(
        self, job: AdmittedOperation, cost: int | None
    ) -> AsyncGenerator[Formatted, None]:
        """`cost` is told with every response, if the client wants to know it."""
        if job.kind != "subscription":
            yield _with_cost(self._bounded(job, await self._finish(job)), cost)
            return
        with self.admission.subscriptions:
            async with aclosing(job.events()) as responses:
                async for response in responses:
                    yield _with_cost(self._bounded(job, response), cost)


def _refusal(error: Exception) -> RequestError:
    return error if isinstance(error, RequestError) else internal(error)


def _outcome(errors: Sequence[Formatted]) -> str:
    """Returns the code that an operation with these errors is counted under; no other hides an INTERNAL."""
    codes = [error["extensions"]["code"] for error in errors] or ["ok"]
    return "INTERNAL" if "INTERNAL" in codes else str(codes[0])


async def _refused(error: RequestError) -> AsyncGenerator[Formatted, None]:
    raise error
    yield {}  # what makes it a generator


async def _paid(
    rate: RateLimiter, caller: Caller, cost: int, results: AsyncGenerator[Formatted, None]
) -> AsyncGenerator[Formatted, None]:
    async with aclosing(results):
        await rate.spend(caller.rate_key, cost)
        async for result in results:
            yield result


def _wants_cost(request: Request) -> bool:
    return request.extensions is not None and request.extensions.get("cost") is True


def _with_cost(response: Formatted, cost: int | None) -> Formatted:
    return response if cost is None else {**response, "extensions": {"cost": cost}}
