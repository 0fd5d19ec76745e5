"""The limit on the size of a response, whose data is encoded here once for every transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from graphql import GraphQLError

from api.engine.operation_type import OperationType
from api.errors import Formatted, RequestError, refused

Encode = Callable[[object], bytes]

encode: Final[Encode] = msgspec.json.Encoder().encode

_MUTATION_COMMITTED: Final = (
    " The mutation was carried out: do not send it again, and query its result."
)


def bounded(
    response: Formatted, type_: OperationType, limit: int, encode: Encode = encode
) -> Formatted:
    """Returns the response with its data encoded. Raises RESPONSE_TOO_LARGE above `limit` bytes in all."""
    data = encode(response["data"])
    bounded = {**response, "data": msgspec.Raw(data)}
    size = len(encode(bounded)) if "errors" in bounded else len(data) + len(b'{"data":}')
    if size > limit:
        raise _too_large(type_, limit)
    return bounded


def _too_large(type_: OperationType, limit: int) -> RequestError:
    message = (
        f"The response is larger than {limit} bytes (LIMIT_RESPONSE_BYTES):"
        " request fewer fields or shorter lists."
    )
    committed = _MUTATION_COMMITTED if type_ == "mutation" else ""
    return refused("RESPONSE_TOO_LARGE", [GraphQLError(message + committed)])
