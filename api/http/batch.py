"""Batches: a list of operations in the body of one POST, with the list of their responses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec
from graphql import GraphQLError

from api.engine.execution.batch_budget import BatchBudget
from api.engine.operation_type import MUTATIONS, QUERIES
from api.engine.request import Request, decode
from api.errors import RequestError, bad_request, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.auth.scopes import Caller
    from api.engine.execution.executor import Executor
    from api.limits import Limits

_BLANKS: Final = b" \t\r\n"
_list = msgspec.json.Decoder(list[Request])
_encode = msgspec.json.Encoder().encode


def is_batch(body: bytes) -> bool:
    """Returns True for a body that begins as a JSON list does."""
    return body.lstrip(_BLANKS).startswith(b"[")


def requests_of(body: bytes, limit: int) -> list[Request]:
    """Returns the requests of a batch, at least one. Raises BAD_REQUEST if it is refused as a whole."""
    requests = decode(_list, body, "An element of the list")
    if not 0 < len(requests) <= limit:
        message = f"A list must have 1 to {limit} operations (BATCH_LIMIT), not {len(requests)}."
        raise bad_request(message, 422)
    return requests


async def execute_batch(
    executor: Executor, requests: Sequence[Request], limits: Limits, caller: Caller
) -> bytes:
    """Returns the encoded list of the responses, in the order of the requests.

    The operations run concurrently. Each is admitted by itself, in this order, so the first ones that fit the
    budget are executed; its refusal is its response.
    """
    requests = await executor.with_texts(requests, caller)
    budget = BatchBudget(limits)
    tasks = (_execute(executor, request, caller, budget) for request in requests)
    encoded, size = [], len(b"[]")
    for response in await asyncio.gather(*tasks):
        size += len(response) + len(b",")
        if size > limits.response_bytes:
            size -= len(response)
            response = _encode(executor.refuse(_too_large(limits.response_bytes), caller).response)
        encoded.append(response)
    return b"[%b]" % b",".join(encoded)


async def _execute(
    executor: Executor, request: Request, caller: Caller, budget: BatchBudget
) -> bytes:
    try:
        return _encode(await executor.execute(request, QUERIES | MUTATIONS, caller, budget))
    except RequestError as error:
        return _encode(error.response)


def _too_large(limit: int) -> RequestError:
    message = (
        f"The responses of the list are larger than {limit} bytes together (LIMIT_RESPONSE_BYTES). This"
        " operation was executed: do not send a mutation again, and query its result."
    )
    return refused("RESPONSE_TOO_LARGE", [GraphQLError(message)])
