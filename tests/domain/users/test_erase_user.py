"""eraseUser, as a decision."""

from __future__ import annotations

from domain.refusal import VersionConflict
from domain.users.commands.erase_user import EraseUser
from domain.users.events import OrderPlaced, UserCreated, UserErased
from domain.users.refusals import UserNotFound
from tests.domain.users.given import ALICE, ORDER, given

CREATED = UserCreated(name="Alice", email="alice@example.com")
ERASE = EraseUser(user_id=ALICE)


def test_erasing_a_user_records_it() -> None:
    given(CREATED).when(ERASE).then(UserErased())


def test_a_user_with_an_open_order_can_be_erased() -> None:
    given(CREATED, OrderPlaced(order_id=ORDER, total=1)).when(ERASE).then(UserErased())


def test_a_user_who_does_not_exist_cannot_be_erased() -> None:
    given().when(ERASE).refused(UserNotFound())


def test_erasing_a_user_twice_erases_it_once() -> None:
    given(CREATED, UserErased()).when(ERASE).refused(UserNotFound())


def test_a_user_who_changed_meanwhile_is_not_erased() -> None:
    command = EraseUser(user_id=ALICE, expected_version=7)
    given(CREATED).when(command).refused(VersionConflict(expected=7, actual=1))
