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
    from collections.abc import AsyncGenerator, Sequence

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
        self._trusted = configuration.trusted_documents.documents

    async def execute(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller = UNRESTRICTED,
        budget: BatchBudget | None = None,
    ) -> Formatted:
        """Returns the response to a query or a mutation. Raises RequestError if there is no `data`."""
        if request.query is None and budget is None:  # those of a list have their texts
            request = await self._with_text(request, caller)
        response = await super().execute(request, allowed, caller, budget)
        hash_ = request.persisted_query_hash()
        if caller.is_authenticated and request.query is not None and hash_ is not None:
            await self._documents.register(hash_, request.query, caller.rate_key)
        return response

    async def open_stream(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller = UNRESTRICTED,
        position: StreamPosition | None = None,
    ) -> AsyncGenerator[Formatted, None]:
        """Returns the responses to any operation. Raises RequestError if it is refused."""
        if request.query is None:
            request = await self._with_text(request, caller)
        return await super().open_stream(request, allowed, caller, position)

    async def with_texts(self, requests: Sequence[Request], caller: Caller) -> Sequence[Request]:
        """Returns requests with the texts of their hashes, each of which is looked up once.

        Those of a list are looked up concurrently, before the first operation is admitted, so that the
        operations are admitted in their order.
        """
        hashes = {hash_ for request in requests if (hash_ := self._hash_to_find(request))}
        texts = await asyncio.gather(*(self._find(hash_, caller) for hash_ in hashes))
        found = dict(zip(hashes, texts, strict=True))
        return [
            _by_text(request, found.get(self._hash_to_find(request) or "")) for request in requests
        ]

    async def _with_text(self, request: Request, caller: Caller) -> Request:
        hash_ = self._hash_to_find(request)
        return request if hash_ is None else _by_text(request, await self._find(hash_, caller))

    def _hash_to_find(self, request: Request) -> str | None:
        """Returns the hash of a request without a text, except that of a trusted document."""
        hash_ = request.document_hash() if request.query is None else None
        return None if hash_ in self._trusted else hash_

    async def _find(self, hash_: str, caller: Caller) -> str | None:
        """Returns the text of a hash; None if it is not registered.

        A caller without a token causes no request to Redis: it finds the documents that this process has.
        """
        documents = self._documents
        return await documents.find(hash_) if caller.is_authenticated else documents.cached(hash_)

    def _admit(
        self,
        request: Request,
        allowed: OperationTypes,
        caller: Caller,
        budget: BatchBudget | None,
        position: StreamPosition | None = None,
    ) -> AdmittedOperation:
        if request.query is not None:
            _check_hash(request, request.query)
        return super()._admit(request, allowed, caller, budget, position)


def _by_text(request: Request, text: str | None) -> Request:
    """Returns the request with this text in place of its hash; unchanged without one."""
    if text is None:
        return request
    extensions = {
        name: value
        for name, value in (request.extensions or {}).items()
        if name != "persistedQuery"
    }
    return msgspec.structs.replace(
        request, query=text, extensions=extensions, document_id=None, doc_id=None, id=None
    )


def _check_hash(request: Request, text: str) -> None:
    """Raises BAD_REQUEST if the text would be registered under the hash of another one."""
    hash_ = request.persisted_query_hash()
    if hash_ is not None and hash_ != hash_of(text):
        raise bad_request("The sha256Hash is not the SHA-256 of the query; send the right one.")
