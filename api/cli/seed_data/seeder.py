"""Creates demo users through commands with idempotency keys, so that a seed has its effect once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.cli.seed_data.people import Person, PlannedOrder, person
from domain.command import Command, CommandResult
from domain.ids import new_id
from domain.users.commands.cancel_order import CancelOrder
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.create_user import CreateUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.events import OrderId, UserId
from domain.users.values import parse_email

if TYPE_CHECKING:
    from domain.write.store import Store


class Seeder:
    """Executes the commands of demo users, and counts them. Raises WriteModelUnavailable."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._seed = seed
        self.users = 0
        self.orders = 0
        self.refused = 0
        """Commands on a user that was erased meanwhile, or whose address is another user's."""

    async def seed_user(self, number: int) -> None:
        """Executes all commands of the person with this number, in order."""
        planned = person(self._seed, number)
        key = f"seed-{self._seed}-{number}"
        user_id = await self._create(planned, key)
        if user_id is None:
            return
        self.users += 1
        for position, order in enumerate(planned.orders):
            await self._order(user_id, order, f"{key}-order-{position}")
        if planned.new_name is not None:
            await self._execute(
                RenameUser(user_id=user_id, name=planned.new_name, idempotency_key=f"{key}-renamed")
            )

    async def _create(self, planned: Person, key: str) -> UserId | None:
        result = await self._execute(
            CreateUser(
                user_id=UserId(new_id()),
                name=planned.name,
                email=parse_email(planned.email),
                idempotency_key=f"{key}-created",
            )
        )
        return None if result is None else UserId(result.aggregate_id)

    async def _order(self, user_id: UserId, order: PlannedOrder, key: str) -> None:
        result = await self._execute(
            PlaceOrder(
                user_id=user_id,
                order_id=OrderId(new_id()),
                total=order.total,
                idempotency_key=key,
            )
        )
        if result is None:
            return
        self.orders += 1
        close_key = f"{key}-{order.outcome}"
        order_id = OrderId(result.id)
        if order.outcome == "completed":
            await self._execute(CompleteOrder(order_id=order_id, idempotency_key=close_key))
        elif order.outcome == "cancelled":
            await self._execute(CancelOrder(order_id=order_id, idempotency_key=close_key))

    async def _execute(self, command: Command) -> CommandResult | None:
        result = await self._store.execute(command)
        if isinstance(result, CommandResult):
            return result
        self.refused += 1
        return None
