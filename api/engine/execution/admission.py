"""Whether an operation is let in: it must be valid, belong here, be allowed to its caller, and be affordable.

All transports ask here, and it does not matter how the operation is executed then.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from graphql import Executor, GraphQLError, GraphQLSchema

from api.auth.scopes import UNRESTRICTED, Caller
from api.auth.tokens import expired, no_token
from api.engine.compiler.plan_cache import PlanCache
from api.engine.documents.document_cache import DocumentCache, Operation, PreparedDocument
from api.engine.execution.concurrency import (
    DeadlineScope,
    Slots,
    for_mutations,
    for_queries,
    for_subscriptions,
)
from api.engine.execution.operation import AdmittedOperation, GraphQLCoreExecution
from api.errors import RequestError, bad_request, refused, unprocessable

if TYPE_CHECKING:
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.engine.compiler.fallback import Middleware
    from api.engine.compiler.plan_cache import PlanMatch
    from api.engine.literals import Values
    from api.engine.operation_type import OperationType, OperationTypes
    from api.engine.request import Request
    from api.resolvers.context import Context

_WRONG_TRANSPORT: Final[dict[OperationType, tuple[str, int]]] = {
    "mutation": ("A mutation must be sent with POST.", 405),
    "subscription": (
        "A subscription needs a stream: accept text/event-stream, or use a WebSocket.",
        400,
    ),
}


class Admission:
    """Lets operations in. `documents` counts how often parsing was saved."""

    def __init__(
        self, schema: GraphQLSchema, converter: GraphQLCoreConverter, context: Context
    ) -> None:
        """Raises BadManifest if a trusted document could not be executed."""
        self.documents = DocumentCache(schema, context.limits, introspection=context.introspection)
        self.documents.keep(context.trusted.documents)
        self.ways = Counter(plan=0, core=0, replay=0)
        """How many operations went by a plan, by graphql-core, or by both because something was wrong."""
        self.rooms: dict[OperationType, DeadlineScope] = {
            "query": for_queries(context.limits),
            "mutation": for_mutations(context.limits),
        }
        self.subscriptions = for_subscriptions(context.limits)
        self._seats: dict[OperationType, Slots] = {
            "subscription": self.subscriptions,
            **{kind: room.seats for kind, room in self.rooms.items()},
        }
        self._plans = PlanCache(schema, converter, context.limits)
        self._schema = schema
        self._context = context
        self._limits = context.limits

    def admit(self, request: Request, allowed: OperationTypes, caller: Caller) -> AdmittedOperation:
        """What is to be executed. Raises RequestError."""
        if not (caller.is_authenticated or self._context.introspection):
            raise no_token()  # nothing is public, so nothing needs to be read to know that
        prepared = self.documents.prepare(self._context.trusted.text_of(request))
        operation = prepared.operation(request.operation_name)
        if operation.kind not in allowed:
            raise bad_request(*_WRONG_TRANSPORT[operation.kind])
        if not (caller.is_authenticated or prepared.public):
            raise no_token()
        if (left := caller.seconds_left) is not None and left <= 0:
            raise expired()  # it was valid when the connection was opened
        self._seats[operation.kind].check()
        try:
            return self._job(request, prepared, operation, caller)
        except (RequestError, MemoryError):
            raise
        except Exception as error:  # not remembered: with other variables the document may be fine
            raise unprocessable(error) from None

    def _job(
        self, request: Request, prepared: PreparedDocument, operation: Operation, caller: Caller
    ) -> AdmittedOperation:
        context = self._context if caller is UNRESTRICTED else replace(self._context, caller=caller)
        execute = partial(self._execution, request, prepared, context)
        going: PlanMatch | GraphQLCoreExecution
        values: Values
        planned = self._plans.find(operation.plannable, request.variables or {}, prepared.literals)
        if planned is not None and planned.plan.scopes <= caller.scopes:
            going, values = planned, planned.values
        else:
            going = execute()
            values = prepared.values(going.variable_values.coerced)
        cost, fields = operation.amount(values)
        if cost > self._limits.cost_budget:
            raise _too_dear(cost, self._limits.cost_budget)
        if fields > self._limits.response_fields:
            raise _too_many_fields(fields, self._limits.response_fields)
        return AdmittedOperation(
            kind=operation.kind,
            cost=cost,
            context=context,
            going=going,
            execute=execute,
            ways=self.ways,
        )

    def _execution(
        self,
        request: Request,
        prepared: PreparedDocument,
        context: Context,
        *middleware: Middleware,
    ) -> GraphQLCoreExecution:
        execution = Executor.build(
            self._schema,
            prepared.read(),
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


def _too_many_fields(fields: int, most: int) -> RequestError:
    error = GraphQLError(
        f"The response may have {fields} fields, and one may have {most} at most: ask for fewer fields"
        " or shorter lists (LIMIT_COST_BUDGET).",
        extensions={"fields": fields, "limit": most},
    )
    return refused("COST_LIMIT_EXCEEDED", [error])


def _too_dear(cost: int, budget: int) -> RequestError:
    error = GraphQLError(
        f"The operation costs {cost}, and one may cost {budget} at most: ask for fewer or shorter"
        " lists (LIMIT_COST_BUDGET).",
        extensions={"cost": cost, "budget": budget},
    )
    return refused("COST_LIMIT_EXCEEDED", [error])
