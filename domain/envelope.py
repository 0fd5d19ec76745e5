"""The envelope in which an event is stored and sent, and the encoding and decoding of events."""

from __future__ import annotations

import zlib
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.aggregates import AGGREGATES
from domain.event import DomainEvent

STORED_ID: Final = "user_id"
"""The name of an aggregate's id in the tables of the log and in the streams.

It is that from before there were several aggregates, because processes of that time work beside this one.
"""


class Undecodable(ValueError):
    """This version of the code cannot read an event of that type and schema version."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of the log: aggregate, version, time and metadata, with the event itself still encoded."""

    aggregate_id: UUID = msgspec.field(name=STORED_ID)
    aggregate: str = "user"
    """The name of the aggregate; the default is that of all events from before there were others."""
    version: int
    """The aggregate's version after this event: 1, 2, 3 ... without a gap."""
    type: str
    schema: int
    data: msgspec.Raw
    occurred_at: datetime
    metadata: dict[str, str] = {}
    skipped: bool = False
    """Whether an operator has excluded this event from the read models. It keeps its version."""
    final: bool = False
    """Whether the event ends its aggregate; functions.lua looks for it in the text of stream entries."""

    def event(self) -> DomainEvent:
        """Returns the event in its present shape. Raises Undecodable."""
        return decode(self.aggregate, self.type, self.schema, bytes(self.data))

    @property
    def is_final(self) -> bool:
        """Whether the event ends its aggregate, also for an entry without `final`, of older code."""
        return self.final or is_final(self.aggregate, self.type)


def encode(aggregate: str, event: DomainEvent) -> tuple[str, int, str]:
    """Returns the columns of an event: its type, its present schema version, and its fields as JSON."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    tag: str = fields.pop("type")
    return tag, schema_of(aggregate, tag), msgspec.json.encode(fields).decode()


def schema_of(aggregate: str, tag: str) -> int:
    """Returns the schema version in which events of this type are written today, from 1."""
    return 1 + len(AGGREGATES[aggregate].upcasts.get(tag, ()))


def decode(aggregate: str, tag: str, schema: int, data: bytes) -> DomainEvent:
    """Returns a stored event in its present shape; upcasts older schema versions.

    Raises Undecodable for an unknown aggregate or type, a schema version from the future, or malformed data.
    """
    if aggregate not in AGGREGATES:
        raise Undecodable(f"this code has no aggregate {aggregate}")
    today = schema_of(aggregate, tag)
    if not 1 <= schema <= today:
        raise Undecodable(f"{tag} has schema {schema}, this code reads 1 to {today}")
    try:
        if schema == today and (decoder := _decoders(aggregate).get(tag)):
            return decoder.decode(data)
        fields = msgspec.json.decode(data, type=dict[str, Any])
        for upcast in AGGREGATES[aggregate].upcasts.get(tag, ())[schema - 1 :]:
            fields = upcast(fields)
        event: DomainEvent = msgspec.convert({**fields, "type": tag}, AGGREGATES[aggregate].events)
    except Exception as error:  # an upcast may raise anything: one event must not stop the others
        raise Undecodable(f"{tag} of schema {schema} is unreadable: {error}") from error
    return event


@cache
def _decoders(aggregate: str) -> dict[str, msgspec.json.Decoder[DomainEvent]]:
    types = AGGREGATES[aggregate].event_types
    return {event.__name__: msgspec.json.Decoder(event) for event in types}


def is_final(aggregate: str, tag: str) -> bool:
    """Returns whether events of this type are the last of their aggregate."""
    return aggregate in AGGREGATES and tag in AGGREGATES[aggregate].final_types


def partition_of(aggregate_id: UUID, partitions: int) -> int:
    """Returns the partition of an aggregate, from 0. Never change it: rows and keys depend on it."""
    return zlib.crc32(aggregate_id.bytes) % partitions
