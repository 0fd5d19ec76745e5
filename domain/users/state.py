"""The state of a user, orders included: what the user's events add up to.

The store loads only the orders that a command is about. It writes what `evolve` makes of the new events, so
the tables of the write model are the fold of the event log by construction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, assert_never

import msgspec

from domain.aggregate_contract import AggregateState
from domain.event import Personal
from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderId,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserEvent,
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


class User(AggregateState, frozen=True, kw_only=True):
    """A user as commands see it."""

    name: Personal[str] = ""
    email: Personal[str] = ""
    orders: dict[OrderId, Order] = msgspec.field(default_factory=dict)


def evolve(user: User, event: UserEvent, at: datetime) -> User:
    """Returns the user after one more event, which happened at `at`."""
    match event:
        case UserCreated(name=name, email=email):
            return msgspec.structs.replace(user, name=name, email=email)
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
            return user
        case _:
            assert_never(event)


def _with_order(user: User, order: Order) -> User:
    return msgspec.structs.replace(user, orders={**user.orders, order.id: order})


def _closed(order: Order, status: OrderStatus, at: datetime) -> Order:
    return msgspec.structs.replace(order, status=status, closed_at=at)
