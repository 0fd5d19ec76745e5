"""Automatic persisted queries: clients register a document with its hash, and then send the hash alone.

The protocol is Apollo's: `extensions.persistedQuery.sha256Hash`, without or with the text in `query`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from api.auth.scopes import UNRESTRICTED, Caller
from api.engine.documents.manifest import hash_of
from api.engine.execution.executor import Executor
from api.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from graphql import GraphQLSchema
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.auth.rate_limit import RateLimiter
    from api.engine.documents.registered import RegisteredDocuments
    from api.engine.execution.batch_budget import BatchBudget
    from api.engine.execution.configuration import EngineConfiguration
    from api.engine.operation_type import OperationTypes
    from api.engine.request import Request
    from api.engine.resolver_info import CallerContext
    from api.engine.stream_position import StreamPosition
    from api.errors import Formatted


class RegisteringExecutor(Executor):
    """Finds the texts of hashes among the registered documents, and registers those that come with a hash.

    A text is registered once its operation was executed, so it is valid, allowed to the caller and within the
    limits; a mutation comes over POST only, as always.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        converter: GraphQLCoreConverter,
        context: CallerContext,
        configuration: EngineConfiguration,
        rate: RateLimiter | None,
        documents: RegisteredDocuments,
    ) -> None:
        super().__init__(schema, converter, context, configuration, rate)
        self._documents = documents

    async def execute(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller = UNRESTRICTED,
        budget: BatchBudget | None = None,
    ) -> Formatted:
        """Returns the response to a query or a mutation. Raises RequestError if there is no `data`."""
        if request.query is None:
            return await super().execute(await self._with_text(request), allowed, caller, budget)
        hash_ = self._checked_hash(request, caller)
        response = await super().execute(request, allowed, caller, budget)
        if hash_ is not None:
            await self._documents.register(hash_, request.query, caller.rate_key)
        return response

    async def open_stream(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller = UNRESTRICTED,
        position: StreamPosition | None = None,
    ) -> AsyncGenerator[Formatted, None]:
        """Returns the responses to any operation. Registers nothing: that takes a POST or a GET."""
        if request.query is None:
            request = await self._with_text(request)
        else:
            self._checked_hash(request, caller)
        return await super().open_stream(request, allowed, caller, position)

    async def _with_text(self, request: Request) -> Request:
        """Returns the request with the text of its hash; unchanged if that is not registered."""
        hash_ = request.document_hash()
        text = None if hash_ is None else await self._documents.find(hash_)
        return request if text is None else msgspec.structs.replace(request, query=text)

    def _checked_hash(self, request: Request, caller: Caller) -> str | None:
        """Returns the hash under which the text is to be registered. Raises BAD_REQUEST if it has another."""
        hash_ = request.persisted_query_hash()
        if hash_ is not None and hash_ != hash_of(request.query or ""):
            error = bad_request(
                "The sha256Hash is not the SHA-256 of the query; send the right one."
            )
            raise self.refuse(error, caller)
        return hash_
