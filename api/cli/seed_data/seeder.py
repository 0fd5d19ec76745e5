"""A person through the real commands. Each has a key, so that the same seed again does nothing twice."""

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
    """Carries out what people do, and counts it. Raises WriteModelUnavailable."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._seed = seed
        self.users = 0
        self.orders = 0
        self.refused = 0
        """Commands about somebody who was erased since, or whose address another has."""

    async def one(self, number: int) -> None:
        """The person with this number and all that it does, in order."""
        who = person(self._seed, number)
        key = f"seed-{self._seed}-{number}"
        user_id = await self._created(who, key)
        if user_id is None:
            return
        self.users += 1
        for place, order in enumerate(who.orders):
            await self._ordered(user_id, order, f"{key}-order-{place}")
        if who.married is not None:
            await self._done(
                RenameUser(user_id=user_id, name=who.married, idempotency_key=f"{key}-renamed")
            )

    async def _created(self, who: Person, key: str) -> UserId | None:
        answer = await self._done(
            CreateUser(
                user_id=UserId(new_id()),
                name=who.name,
                email=parse_email(who.email),
                idempotency_key=f"{key}-created",
            )
        )
        return None if answer is None else answer.user_id

    async def _ordered(self, user_id: UserId, order: PlannedOrder, key: str) -> None:
        answer = await self._done(
            PlaceOrder(
                user_id=user_id,
                order_id=OrderId(new_id()),
                total=order.total,
                idempotency_key=key,
            )
        )
        if answer is None:
            return
        self.orders += 1
        closed = f"{key}-{order.fate}"
        order_id = OrderId(answer.id)
        if order.fate == "completed":
            await self._done(CompleteOrder(order_id=order_id, idempotency_key=closed))
        elif order.fate == "cancelled":
            await self._done(CancelOrder(order_id=order_id, idempotency_key=closed))

    async def _done(self, command: Command) -> CommandResult | None:
        answer = await self._store.execute(command)
        if isinstance(answer, CommandResult):
            return answer
        self.refused += 1
        return None
