"""The events of a user: everything that can happen, and all that the read side knows of the write side.

Class names and field names are a storage format: rows of `events` and entries of the streams keep them
indefinitely. Change the shape of an event with a new schema version and an upcast, never with an edit.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NewType
from uuid import UUID

from domain.event import DomainEvent, Personal

UserId = NewType("UserId", UUID)
OrderId = NewType("OrderId", UUID)


class UserCreated(DomainEvent, frozen=True, kw_only=True):
    name: Personal[str]
    email: Personal[str]


class UserEmailUpdated(DomainEvent, frozen=True, kw_only=True):
    email: Personal[str]


class UserRenamed(DomainEvent, frozen=True, kw_only=True):
    name: Personal[str]


class OrderPlaced(DomainEvent, frozen=True, kw_only=True):
    order_id: OrderId
    total: int
    """Minor units (cents)."""


class OrderCompleted(DomainEvent, frozen=True, kw_only=True):
    order_id: OrderId
    total: int
    """Minor units (cents), repeated here so that a projection does not have to store the placed order."""


class OrderCancelled(DomainEvent, frozen=True, kw_only=True):
    order_id: OrderId


class UserErased(DomainEvent, frozen=True, kw_only=True):
    pass


UserEvent = (
    UserCreated
    | UserEmailUpdated
    | UserRenamed
    | OrderPlaced
    | OrderCompleted
    | OrderCancelled
    | UserErased
)
"""The union of these events. Add a class here, and the type checker lists every place that must handle it."""


def email_key(address: str) -> str:
    """Returns the key by which an e-mail address is unique. Accepts any text, as old events may hold it.

    The key is the case-folded local part in NFC, and the domain as in the DNS: an IDNA 2008 A-label in lower
    case.
    """
    if address.isascii():
        return address.lower()
    local, at, domain = address.rpartition("@")
    return f"{_caseless(local)}{at}{_a_label(domain)}"


def name_key(name: str) -> str:
    """Returns the text by which users are sorted and found by name: case-folded, in NFC."""
    return name.lower() if name.isascii() else _caseless(name)


def _caseless(text: str) -> str:
    """Folds case as Unicode's canonical caseless matching does: a final sigma is a sigma."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@lru_cache(maxsize=1024)
def _a_label(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    import idna  # here: few processes need it, and its tables take a megabyte

    try:
        return idna.encode(domain, uts46=True).decode()
    except UnicodeError:  # not a valid domain; values.parse_email rejects it
        return _caseless(domain)
