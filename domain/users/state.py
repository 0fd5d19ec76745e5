"""The user as commands see it: the state that its events add up to, its orders included.

The store loads only the orders that a command is about, and writes what `evolve` makes of the events, so
the tables of the write model are the fold of the log by construction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, assert_never
from uuid import UUID

import msgspec

from domain.users.events import (
    Event,
    OrderCancelled,
    OrderCompleted,
    OrderId,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserId,
    UserRenamed,
)

Status = Literal["OPEN", "COMPLETED", "CANCELLED"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    id: OrderId
    status: Status
    total: int
    """Minor units."""
    placed_at: datetime
    closed_at: datetime | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    id: UserId
    name: str = ""
    email: str = ""
    version: int = 0
    """How many events this user has had; 0 is a user not yet created."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    erased_at: datetime | None = None
    secret: UUID | None = None
    """What the fingerprints of its commands are keyed with; None once erased."""
    orders: dict[OrderId, Order] = {}

    @property
    def exists(self) -> bool:
        return self.version > 0 and self.erased_at is None


def evolve(user: User, event: Event, at: datetime) -> User:
    """The user after one more event, which happened at `at`."""
    user = msgspec.structs.replace(user, version=user.version + 1, updated_at=at)
    match event:
        case UserCreated(name=name, email=email):
            return msgspec.structs.replace(user, name=name, email=email, created_at=at)
        case UserEmailUpdated(email=email):
            return msgspec.structs.replace(user, email=email)
        case UserRenamed(name=name):
            return msgspec.structs.replace(user, name=name)
        case OrderPlaced(order_id=order_id, total=total):
            return _with(user, Order(id=order_id, status="OPEN", total=total, placed_at=at))
        case OrderCompleted(order_id=order_id):
            return _close(user, order_id, "COMPLETED", at)
        case OrderCancelled(order_id=order_id):
            return _close(user, order_id, "CANCELLED", at)
        case UserErased():
            return _erased(user, at)
        case _:
            assert_never(event)


def _erased(user: User, at: datetime) -> User:
    """The user with what is named here and nothing else, so that a new field is erased by default."""
    return User(
        id=user.id,
        version=user.version,
        created_at=user.created_at,
        updated_at=at,
        erased_at=at,
        orders=user.orders,
    )


def _close(user: User, order_id: OrderId, status: Status, at: datetime) -> User:
    order = msgspec.structs.replace(user.orders[order_id], status=status, closed_at=at)
    return _with(user, order)


def _with(user: User, order: Order) -> User:
    return msgspec.structs.replace(user, orders={**user.orders, order.id: order})
