"""The size of a response: its data is encoded here, once for every transport, and refused if too large."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
from graphql import GraphQLError

from api.errors import refused

if TYPE_CHECKING:
    from api.engine.operation_type import OperationType
    from api.errors import Formatted, RequestError

Encode = Callable[[object], bytes]

encode: Final[Encode] = msgspec.json.Encoder().encode

_CARRIED_OUT: Final = (
    " The mutation was carried out: do not send it again, and query what came of it."
)


def bounded(
    response: Formatted, kind: OperationType, limit: int, encode: Encode = encode
) -> Formatted:
    """Returns the response with its data encoded. Raises RESPONSE_TOO_LARGE.

    `limit` is in bytes, of data and errors together.
    """
    data = encode(response["data"])
    bounded = {**response, "data": msgspec.Raw(data)}
    size = len(encode(bounded)) if "errors" in bounded else len(data) + len(b'{"data":}')
    if size > limit:
        raise _too_large(kind, limit)
    return bounded


def _too_large(kind: OperationType, limit: int) -> RequestError:
    message = (
        f"The response is larger than {limit} bytes (LIMIT_RESPONSE_BYTES):"
        " ask for fewer fields, or for shorter lists."
    )
    done = _CARRIED_OUT if kind == "mutation" else ""
    return refused("RESPONSE_TOO_LARGE", [GraphQLError(message + done)])
