"""Whatever is asked in whatever order: the tables are the fold of the log."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.command import Command, CommandResult
from domain.ids import new_id
from domain.users.commands.cancel_order import CancelOrder
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import OrderId, UserId
from domain.users.values import parse_email
from tests.domain.write_model import WriteModel, create


class Asked:
    """What has been asked so far, to be referred to by number."""

    def __init__(self) -> None:
        self.users = [UserId(new_id())]
        self.orders = [OrderId(new_id())]

    def create(self, number: int) -> Command:
        command = create(f"Name {number}", f"n{number}@example.com")
        self.users.append(command.user_id)
        return command

    def place(self, number: int) -> Command:
        self.orders.append(OrderId(new_id()))
        return PlaceOrder(user_id=self._user(number), order_id=self.orders[-1], total=number + 1)

    def update(self, number: int) -> Command:
        return UpdateUserEmail(
            user_id=self._user(number), email=parse_email(f"N{number}@example.com")
        )

    def rename(self, number: int) -> Command:
        return RenameUser(
            user_id=self._user(number),
            name=f"Name {number}",
            expected_version=number if number % 3 == 0 else None,
        )

    def complete(self, number: int) -> Command:
        return CompleteOrder(order_id=self._order(number))

    def cancel(self, number: int) -> Command:
        return CancelOrder(order_id=self._order(number))

    def erase(self, number: int) -> Command:
        return EraseUser(user_id=self._user(number))

    def _user(self, number: int) -> UserId:
        return self.users[number % len(self.users)]

    def _order(self, number: int) -> OrderId:
        return self.orders[number % len(self.orders)]


VERBS: list[Callable[[Asked, int], Command]] = [
    *[Asked.create, Asked.place] * 2,
    *[Asked.update, Asked.rename, Asked.complete, Asked.cancel, Asked.erase],
]


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 6)), max_size=40))
async def test_the_tables_are_the_fold_of_the_log(
    model: WriteModel, steps: list[tuple[Callable[[Asked, int], Command], int]]
) -> None:
    asked = Asked()
    for verb, number in steps:
        before = await model.count("events")
        answer = await model.store.execute(verb(asked, number))
        if not isinstance(answer, CommandResult):
            assert await model.count("events") == before
    await model.assert_tables_are_the_fold_of_the_log()
