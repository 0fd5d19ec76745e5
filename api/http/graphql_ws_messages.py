"""The messages that a client of graphql-transport-ws may send."""

from typing import Annotated, Any

import msgspec

from api.engine.request import Request

OperationId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Init(msgspec.Struct, tag="connection_init"):
    payload: dict[str, Any] | None = None


class Ping(msgspec.Struct, tag="ping"):
    payload: dict[str, Any] | None = None


class Pong(msgspec.Struct, tag="pong"):
    payload: dict[str, Any] | None = None


class Subscribe(msgspec.Struct, tag="subscribe"):
    """Starts an operation of any type."""

    id: OperationId
    payload: Request


class Complete(msgspec.Struct, tag="complete"):
    id: OperationId


Message = Init | Ping | Pong | Subscribe | Complete

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def decode(text: str) -> Message:
    """Returns the message in a text frame. Raises ValueError or RecursionError."""
    return _decoder.decode(text)
