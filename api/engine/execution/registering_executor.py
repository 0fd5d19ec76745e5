"""Automatic persisted queries: clients register a document with its hash, and then send the hash alone.

The protocol is Apollo's: `extensions.persistedQuery.sha256Hash`, without or with the text in `query`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from api.auth.scopes import UNRESTRICTED, Caller
from api.engine.documents.manifest import hash_of
from api.engine.execution.executor import Executor
from api.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graphql import GraphQLSchema
    from strawberry.schema.schema_converter import GraphQLCoreConverter

    from api.auth.rate_limit import RateLimiter
    from api.engine.documents.registered import RegisteredDocuments
    from api.engine.execution.batch_budget import BatchBudget
    from api.engine.execution.configuration import EngineConfiguration
    from api.engine.execution.engine import AdmittedOperation
    from api.engine.operation_type import OperationTypes
    from api.engine.request import Request
    from api.engine.resolver_info import CallerContext
    from api.engine.stream_position import StreamPosition
    from api.errors import Formatted


class RegisteringExecutor(Executor):
    """Finds the texts of hashes among the registered documents, and registers those that come with a hash.

    A text is registered once its operation was executed, so it is valid, allowed to the caller and within the
    limits; a mutation comes over POST only, as always. While authentication is on, that takes a token, since
    callers without one could replace all documents.
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
        response = await super().execute(request, allowed, caller, budget)
        hash_ = request.persisted_query_hash()
        if caller.is_authenticated and request.query is not None and hash_ is not None:
            await self._documents.register(hash_, request.query, caller.rate_key)
        return response

    async def load_documents(self, requests: Sequence[Request], caller: Caller) -> None:
        """Loads the texts of hashes concurrently, so that the admission of a list follows its order."""
        by_hash = (request for request in requests if request.query is None)
        await asyncio.gather(*(self._with_text(request, caller) for request in by_hash))

    async def _admit(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller,
        budget: BatchBudget | None = None,
        position: StreamPosition | None = None,
    ) -> AdmittedOperation:
        """Returns the operation of the text, or of the hash. Raises RequestError."""
        if request.query is None:
            request = await self._with_text(request, caller)
        else:
            _check_hash(request, request.query)
        return await super()._admit(request, allowed, caller, budget, position)

    async def _with_text(self, request: Request, caller: Caller) -> Request:
        """Returns the request with the text of its hash; unchanged if that is not registered.

        A caller without a token causes no request to Redis: it finds the documents that this process has.
        """
        hash_ = request.document_hash()
        if hash_ is None:
            return request
        documents = self._documents
        text = await documents.find(hash_) if caller.is_authenticated else documents.cached(hash_)
        return request if text is None else msgspec.structs.replace(request, query=text)


def _check_hash(request: Request, text: str) -> None:
    """Raises BAD_REQUEST if the text would be registered under the hash of another one."""
    hash_ = request.persisted_query_hash()
    if hash_ is not None and hash_ != hash_of(text):
        raise bad_request("The sha256Hash is not the SHA-256 of the query; send the right one.")
