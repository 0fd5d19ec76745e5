"""Admission: an operation must be valid, fit its transport, be allowed to its caller and fit the budget.

It is the same for every transport and every execution path.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from graphql import GraphQLError, GraphQLSchema

from api.auth.scopes import UNRESTRICTED, Caller
from api.auth.tokens import expired, no_token
from api.engine.documents.document_cache import DocumentCache, Operation, PreparedDocument
from api.engine.execution.concurrency import (
    Slots,
    deadline_scopes,
    subscription_slots,
)
from api.engine.execution.engine import AdmittedOperation, Engine
from api.errors import RequestError, bad_request, refused, unprocessable

if TYPE_CHECKING:
    from api.engine.execution.batch_budget import BatchBudget
    from api.engine.execution.configuration import EngineConfiguration
    from api.engine.operation_type import OperationType, OperationTypes
    from api.engine.request import Request
    from api.engine.resolver_info import CallerContext
    from api.engine.stream_position import StreamPosition

_WRONG_TRANSPORT: Final[dict[OperationType, tuple[str, int]]] = {
    "mutation": ("A mutation must be sent with POST.", 405),
    "subscription": (
        "A subscription needs a stream: accept text/event-stream, or use a WebSocket.",
        400,
    ),
}


class Admission:
    """Decides which operations may run. `documents` counts how often parsing was saved."""

    def __init__(
        self,
        schema: GraphQLSchema,
        engine: Engine,
        context: CallerContext,
        configuration: EngineConfiguration,
    ) -> None:
        """Raises InvalidManifest if a trusted document could not be executed."""
        limits = configuration.limits
        self.documents = DocumentCache(
            schema,
            limits,
            introspection=configuration.introspection,
            partitions=configuration.partitions,
        )
        self.documents.preload(configuration.trusted_documents.documents)
        self.deadlines = deadline_scopes(limits)
        self.subscriptions = subscription_slots(limits)
        self._slots: dict[OperationType, Slots] = {
            "subscription": self.subscriptions,
            **{type_: scope.slots for type_, scope in self.deadlines.items()},
        }
        self._engine = engine
        self._context = context
        self._introspection = configuration.introspection
        self._trusted_documents = configuration.trusted_documents
        self._limits = limits

    def admit(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller,
        budget: BatchBudget | None = None,
        position: StreamPosition | None = None,
    ) -> AdmittedOperation:
        """Returns the operation, ready to run. Raises RequestError.

        `budget` is what the operations of a batch share, `position` that of a stream.
        """
        if not (caller.is_authenticated or self._introspection):
            raise no_token()  # no operation is public, so the request need not be read
        document = self.documents.get(self._trusted_documents.text_of(request))
        operation = document.operation(request.operation_name)
        if operation.type not in allowed:
            raise bad_request(*_WRONG_TRANSPORT[operation.type])
        if not (caller.is_authenticated or document.public):
            raise no_token()
        if caller.expires is not None and caller.expires <= time.time():
            raise expired()  # it was valid when the connection was opened
        self._slots[operation.type].check()
        context = self._context
        if caller is not UNRESTRICTED or position is not None:
            context = context.for_caller(caller, position)
        try:
            return self._within_budget(request, document, operation, context, budget)
        except (RequestError, MemoryError):
            raise
        except Exception as error:  # not cached: with other variables the document may be fine
            raise unprocessable(error) from None

    def _within_budget(
        self,
        request: Request,
        document: PreparedDocument,
        operation: Operation,
        context: CallerContext,
        batch: BatchBudget | None,
    ) -> AdmittedOperation:
        limits, left = (self._limits, "") if batch is None else (batch, " that the list has left")
        match, execution, values = self._engine.prepare(request, document, operation, context)
        operation_cost = operation.cost(values)
        cost, fields = operation_cost
        if cost > (budget := limits.cost_budget):
            raise _refused(
                f"The operation costs {cost}, above the budget of {budget}{left}: request fewer or shorter"
                " lists",
                cost=cost,
                budget=budget,
            )
        if fields > (limit := limits.response_fields):
            raise _refused(
                f"The response may have {fields} fields, above the limit of {limit}{left}: request fewer"
                " fields or shorter lists",
                fields=fields,
                limit=limit,
            )
        if batch is not None:
            batch.spend(cost, fields)
        return AdmittedOperation(
            type=operation.type,
            cost=operation_cost.charge,
            request=request,
            document=document,
            context=context,
            match=match,
            execution=execution,
        )


def _refused(message: str, **figures: int) -> RequestError:
    return refused(
        "COST_LIMIT_EXCEEDED",
        [GraphQLError(f"{message} (LIMIT_COST_BUDGET).", extensions=figures)],
    )
