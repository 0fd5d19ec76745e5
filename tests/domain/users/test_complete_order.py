"""completeOrder, as a decision."""

from __future__ import annotations

from domain.users.commands.complete_order import CompleteOrder
from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserErased,
)
from domain.users.refusals import OrderNotFound, OrderNotOpen
from tests.domain.users.given import ORDER, OTHER_ORDER, given

CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACED = OrderPlaced(order_id=ORDER, total=1250)
COMPLETE = CompleteOrder(order_id=ORDER)


def test_completing_an_order_records_it() -> None:
    given(CREATED, PLACED).when(COMPLETE).then(OrderCompleted(order_id=ORDER, total=1250))


def test_an_order_that_does_not_exist_cannot_be_completed() -> None:
    given().when(COMPLETE).refused(OrderNotFound())


def test_an_unknown_order_cannot_be_completed() -> None:
    unknown = CompleteOrder(order_id=OTHER_ORDER)
    given(CREATED, PLACED).when(unknown).refused(OrderNotFound())


def test_an_order_of_an_erased_user_cannot_be_completed() -> None:
    given(CREATED, PLACED, UserErased()).when(COMPLETE).refused(OrderNotFound())


def test_a_cancelled_order_cannot_be_completed() -> None:
    cancelled = OrderCancelled(order_id=ORDER)
    given(CREATED, PLACED, cancelled).when(COMPLETE).refused(OrderNotOpen(status="CANCELLED"))


def test_completing_an_order_twice_counts_it_once() -> None:
    completed = OrderCompleted(order_id=ORDER, total=1250)
    given(CREATED, PLACED, completed).when(COMPLETE).refused(OrderNotOpen(status="COMPLETED"))
