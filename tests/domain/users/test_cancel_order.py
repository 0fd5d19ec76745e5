"""cancelOrder, as a decision."""

from __future__ import annotations

from domain.users.commands.cancel_order import CancelOrder
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
CANCEL = CancelOrder(order_id=ORDER)


def test_cancelling_an_order_records_it() -> None:
    given(CREATED, PLACED).when(CANCEL).then(OrderCancelled(order_id=ORDER))


def test_an_order_that_does_not_exist_cannot_be_cancelled() -> None:
    given().when(CANCEL).refused(OrderNotFound())


def test_an_unknown_order_cannot_be_cancelled() -> None:
    unknown = CancelOrder(order_id=OTHER_ORDER)
    given(CREATED, PLACED).when(unknown).refused(OrderNotFound())


def test_an_order_of_an_erased_user_cannot_be_cancelled() -> None:
    given(CREATED, PLACED, UserErased()).when(CANCEL).refused(OrderNotFound())


def test_a_completed_order_cannot_be_cancelled() -> None:
    completed = OrderCompleted(order_id=ORDER, total=1250)
    given(CREATED, PLACED, completed).when(CANCEL).refused(OrderNotOpen(status="COMPLETED"))


def test_cancelling_an_order_twice_cancels_it_once() -> None:
    cancelled = OrderCancelled(order_id=ORDER)
    given(CREATED, PLACED, cancelled).when(CANCEL).refused(OrderNotOpen(status="CANCELLED"))
