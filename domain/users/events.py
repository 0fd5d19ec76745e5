"""What can happen: the published language between the write side and the read side.

The class names, tags and field names here are a storage format. Rows of `events` and entries of the
streams hold them for ever, so a change of shape is a new schema version with an upcast, never an edit.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NewType
from uuid import UUID

import msgspec

UserId = NewType("UserId", UUID)
OrderId = NewType("OrderId", UUID)

PERSONAL_FIELDS = ("name", "email")
"""Fields of event data that name a person. Erasing a user blanks them in every event of that user."""

NON_PERSONAL_FIELDS = ("order_id", "total")
"""The other fields of event data. Each field of each event is in one of the two; a test fails if not."""


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="type"):
    """What every event class is: an immutable value whose tag is its type on the wire."""


class UserCreated(DomainEvent, frozen=True, kw_only=True):
    name: str
    email: str


class UserEmailUpdated(DomainEvent, frozen=True, kw_only=True):
    email: str


class UserRenamed(DomainEvent, frozen=True, kw_only=True):
    name: str


class OrderPlaced(DomainEvent, frozen=True, kw_only=True):
    order_id: OrderId
    total: int
    """Minor units (cents)."""


class OrderCompleted(DomainEvent, frozen=True, kw_only=True):
    order_id: OrderId
    total: int
    """Minor units (cents), repeated here so that a projection need not remember the placement."""


class OrderCancelled(DomainEvent, frozen=True, kw_only=True):
    order_id: OrderId


class UserErased(DomainEvent, frozen=True, kw_only=True):
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

UPCASTS: dict[str, tuple[Upcast, ...]] = {}
"""Per type, how to read its older schema versions: the n-th function turns version n into n + 1."""


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
