"""The state of a user, orders included: what the user's events add up to.

The store loads only the orders that a command is about. It writes what `evolve` makes of the new events, so
the tables of the write model are the fold of the event log by construction.
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

OrderStatus = Literal["OPEN", "COMPLETED", "CANCELLED"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order of a user."""

    id: OrderId
    status: OrderStatus
    total: int
    """Minor units."""
    placed_at: datetime
    closed_at: datetime | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as commands see it. The defaults are those of a user that has no event yet."""

    id: UserId
    name: str = ""
    email: str = ""
    version: int = 0
    """The number of events of this user."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    erased_at: datetime | None = None
    secret: UUID | None = None
    """The key of the request digests of the user's commands; None once the user is erased."""
    orders: dict[OrderId, Order] = {}

    @property
    def exists(self) -> bool:
        return self.version > 0 and self.erased_at is None


def evolve(user: User, event: Event, at: datetime) -> User:
    """Returns the user after one more event, which happened at `at`."""
    user = msgspec.structs.replace(user, version=user.version + 1, updated_at=at)
    match event:
        case UserCreated(name=name, email=email):
            return msgspec.structs.replace(user, name=name, email=email, created_at=at)
        case UserEmailUpdated(email=email):
            return msgspec.structs.replace(user, email=email)
        case UserRenamed(name=name):
            return msgspec.structs.replace(user, name=name)
        case OrderPlaced(order_id=order_id, total=total):
            return _with_order(user, Order(id=order_id, status="OPEN", total=total, placed_at=at))
        case OrderCompleted(order_id=order_id):
            return _with_order(user, _closed(user.orders[order_id], "COMPLETED", at))
        case OrderCancelled(order_id=order_id):
            return _with_order(user, _closed(user.orders[order_id], "CANCELLED", at))
        case UserErased():
            return _erased(user, at)
        case _:
            assert_never(event)


def _with_order(user: User, order: Order) -> User:
    return msgspec.structs.replace(user, orders={**user.orders, order.id: order})


def _closed(order: Order, status: OrderStatus, at: datetime) -> Order:
    return msgspec.structs.replace(order, status=status, closed_at=at)


def _erased(user: User, at: datetime) -> User:
    """Lists what is kept, so that a field that is added later is erased by default."""
    return User(
        id=user.id,
        version=user.version,
        created_at=user.created_at,
        updated_at=at,
        erased_at=at,
        orders=user.orders,
    )
