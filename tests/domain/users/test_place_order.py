"""placeOrder, as a decision."""

from __future__ import annotations

from domain.refusal import VersionConflict
from domain.users.commands.place_order import PlaceOrder
from domain.users.events import OrderPlaced, UserCreated, UserErased
from domain.users.refusals import UserNotFound
from tests.domain.users.given import ALICE, ORDER, OTHER_ORDER, given

CREATED = UserCreated(name="Alice", email="alice@example.com")
PLACE = PlaceOrder(user_id=ALICE, order_id=ORDER, total=1250)


def test_placing_an_order_records_its_total() -> None:
    given(CREATED).when(PLACE).then(OrderPlaced(order_id=ORDER, total=1250))


def test_a_second_order_of_the_same_total_is_another_order() -> None:
    second = PlaceOrder(user_id=ALICE, order_id=OTHER_ORDER, total=1250)
    placed = OrderPlaced(order_id=ORDER, total=1250)
    given(CREATED, placed).when(second).then(OrderPlaced(order_id=OTHER_ORDER, total=1250))


def test_a_user_who_does_not_exist_cannot_place_an_order() -> None:
    given().when(PLACE).refused(UserNotFound())


def test_an_erased_user_cannot_place_an_order() -> None:
    given(CREATED, UserErased()).when(PLACE).refused(UserNotFound())


def test_an_order_is_not_placed_for_a_user_who_changed_meanwhile() -> None:
    command = PlaceOrder(user_id=ALICE, order_id=ORDER, total=1250, expected_version=3)
    given(CREATED).when(command).refused(VersionConflict(expected=3, actual=1))
