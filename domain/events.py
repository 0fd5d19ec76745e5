"""What can happen: the published language between the write side and the read side.

The class names, tags and field names here are a storage format. Rows of `events` and entries of the
streams hold them for ever, so a change of shape is a new schema version with an upcast, never an edit.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, NewType, get_args
from uuid import UUID

import msgspec

UserId = NewType("UserId", UUID)
OrderId = NewType("OrderId", UUID)

PERSONAL = ("name", "email")
"""Fields of event data that name a person. Erasing a user blanks them in every event of that user."""

NOT_PERSONAL = ("order_id", "total")
"""The other fields of event data. Each field of each event is in one of the two; a test fails if not."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type"):
    """What every event class is: an immutable value whose tag is its type on the wire."""


class UserCreated(Fact, frozen=True, kw_only=True):
    name: str
    email: str


class UserEmailUpdated(Fact, frozen=True, kw_only=True):
    email: str


class UserRenamed(Fact, frozen=True, kw_only=True):
    name: str


class OrderPlaced(Fact, frozen=True, kw_only=True):
    order_id: OrderId
    total: int
    """Minor units (cents)."""


class OrderCompleted(Fact, frozen=True, kw_only=True):
    order_id: OrderId
    total: int
    """Minor units (cents), repeated here so that a projection need not remember the placement."""


class OrderCancelled(Fact, frozen=True, kw_only=True):
    order_id: OrderId


class UserErased(Fact, frozen=True, kw_only=True):
    pass


Event = (
    UserCreated
    | UserEmailUpdated
    | UserRenamed
    | OrderPlaced
    | OrderCompleted
    | OrderCancelled
    | UserErased
)
"""The registry: add a class here and the type checker lists every place that must say what it does."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

_UPCASTS: dict[str, tuple[Upcast, ...]] = {}
"""Per type, how to read its older schema versions: the n-th function turns version n into n + 1."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of the log as it travels: who, which version, when, and the event still encoded."""

    user_id: UserId
    version: int
    """The user's version after this event: 1, 2, 3 ... without a hole."""
    type: str
    schema: int
    data: msgspec.Raw
    occurred_at: datetime
    metadata: dict[str, str] = {}
    skipped: bool = False
    """Whether somebody has given this event up for the read models. It keeps its place in the order."""

    def event(self) -> Event:
        """The event in today's shape. Raises Undecodable: the type or its schema is unknown here."""
        return decode(self.type, self.schema, bytes(self.data))


class Undecodable(ValueError):
    """This version of the code cannot read an event of that type and schema."""


_DECODERS: dict[str, msgspec.json.Decoder[Event]] = {
    event.__name__: msgspec.json.Decoder(event) for event in get_args(Event)
}


def encode(event: Event) -> tuple[str, int, str]:
    """What to store of an event: its type, the schema version of today, and its fields as JSON."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    tag: str = fields.pop("type")
    return tag, schema_of(tag), msgspec.json.encode(fields).decode()


def schema_of(tag: str) -> int:
    """The schema version that events of this type are written with today, from 1."""
    return 1 + len(_UPCASTS.get(tag, ()))


def decode(tag: str, schema: int, data: bytes) -> Event:
    """The one place where stored events become values; older schema versions are upcast here.

    Raises Undecodable for an unknown type, a schema version from the future, or malformed data.
    """
    today = schema_of(tag)
    if not 1 <= schema <= today:
        raise Undecodable(f"{tag} has schema {schema}, this code reads 1 to {today}")
    try:
        if schema == today and (decoder := _DECODERS.get(tag)):
            return decoder.decode(data)
        fields = msgspec.json.decode(data, type=dict[str, Any])
        for upcast in _UPCASTS.get(tag, ())[schema - 1 :]:
            fields = upcast(fields)
        event: Event = msgspec.convert({**fields, "type": tag}, Event)
    except Exception as error:  # whatever an upcast stumbles over: one event must not stop the rest
        raise Undecodable(f"{tag} of schema {schema} is unreadable: {error}") from error
    return event


def partition_of(user_id: UUID, partitions: int) -> int:
    """The partition of a user, 0 to partitions - 1. Stable for ever: rows and keys are placed by it."""
    return zlib.crc32(user_id.bytes) % partitions


def email_key(address: str) -> str:
    """Returns what makes an e-mail address unique. Takes any text, whatever old events hold.

    The local part without case in NFC, and the domain as the DNS has it: an IDNA 2008 A-label in lower case.
    """
    if address.isascii():
        return address.lower()
    local, at, domain = address.rpartition("@")
    return f"{_caseless(local)}{at}{_a_label(domain)}"


def _caseless(text: str) -> str:
    """Folds case as Unicode's canonical caseless matching does: a final sigma is a sigma."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@lru_cache(maxsize=1024)
def _a_label(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    import idna  # here, because few processes meet such a domain, and its tables take a megabyte

    try:
        return idna.encode(domain, uts46=True).decode()
    except UnicodeError:  # no domain that mail can be sent to; values.email refuses it
        return _caseless(domain)
