"""The envelope in which an event is stored and sent, and the encoding and decoding of events."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec

from domain.users.events import UPCASTS, Event, UserId


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of the log: user, version, time and metadata, with the event itself still encoded."""

    user_id: UserId
    version: int
    """The user's version after this event: 1, 2, 3 ... without a gap."""
    type: str
    schema: int
    data: msgspec.Raw
    occurred_at: datetime
    metadata: dict[str, str] = {}
    skipped: bool = False
    """Whether an operator has excluded this event from the read models. It keeps its version."""

    def event(self) -> Event:
        """Returns the event in its present shape. Raises Undecodable."""
        return decode(self.type, self.schema, bytes(self.data))


class Undecodable(ValueError):
    """This version of the code cannot read an event of that type and schema version."""


_DECODERS: dict[str, msgspec.json.Decoder[Event]] = {
    event.__name__: msgspec.json.Decoder(event) for event in get_args(Event)
}


def encode(event: Event) -> tuple[str, int, str]:
    """Returns the columns of an event: its type, its present schema version, and its fields as JSON."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    tag: str = fields.pop("type")
    return tag, schema_of(tag), msgspec.json.encode(fields).decode()


def schema_of(tag: str) -> int:
    """Returns the schema version in which events of this type are written today, from 1."""
    return 1 + len(UPCASTS.get(tag, ()))


def decode(tag: str, schema: int, data: bytes) -> Event:
    """Returns a stored event in its present shape; upcasts older schema versions.

    Raises Undecodable for an unknown type, a schema version from the future, or malformed data.
    """
    today = schema_of(tag)
    if not 1 <= schema <= today:
        raise Undecodable(f"{tag} has schema {schema}, this code reads 1 to {today}")
    try:
        if schema == today and (decoder := _DECODERS.get(tag)):
            return decoder.decode(data)
        fields = msgspec.json.decode(data, type=dict[str, Any])
        for upcast in UPCASTS.get(tag, ())[schema - 1 :]:
            fields = upcast(fields)
        event: Event = msgspec.convert({**fields, "type": tag}, Event)
    except Exception as error:  # an upcast may raise anything: one event must not stop the others
        raise Undecodable(f"{tag} of schema {schema} is unreadable: {error}") from error
    return event


def partition_of(user_id: UUID, partitions: int) -> int:
    """Returns the partition of a user, 0 to partitions - 1. Never change it: rows and keys depend on it."""
    return zlib.crc32(user_id.bytes) % partitions
