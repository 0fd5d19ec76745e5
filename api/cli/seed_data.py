"""Demo data of `tandem seed`: users and orders that are the same for the same seed on every machine.

They are created through commands with idempotency keys, so that a seed has its effect once.
"""

from __future__ import annotations

import random
from typing import Literal

import msgspec

from domain.command import Command, CommandResult
from domain.ids import new_id
from domain.users.commands.cancel_order import CancelOrder
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.create_user import CreateUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.events import OrderId, UserId
from domain.users.values import parse_email
from domain.write.store import Store

_FIRST = """
    Ada Alan Amara Anouk Bela Carla Chidi Dorothy Edsger Elif Emmy Farid Grace Hedy Ines Ivo Jonas Katherine
    Kenji Lea Linus Mai Margaret Niklas Noor Olga Priya Radia Sofia Tariq Uma Viktor Wanda Yusuf Zora
"""
_LAST = """
    Abara Becker Castillo Dubois Eriksen Fontana Goldberg Haddad Ivanova Jansen Kovacs Lindqvist Moreau
    Nakamura Okafor Petrov Quispe Rossi Schneider Tanaka Ustinov Varga Weber Ximenes Yilmaz Zhang
"""

Outcome = Literal["open", "completed", "cancelled"]

_OUTCOMES: tuple[Outcome, ...] = ("open", "completed", "completed", "completed", "cancelled")
_MAX_ORDERS = 12


class PlannedOrder(msgspec.Struct, frozen=True):
    total: int
    """In minor units."""
    outcome: Outcome


class Person(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    email: str
    orders: tuple[PlannedOrder, ...]
    new_name: str | None
    """The name that the person changes to; None if it keeps its name."""


def person(seed: int, number: int) -> Person:
    """Returns a person with orders; most have few, and some have many."""
    chance = random.Random(f"{seed}:{number}")  # noqa: S311 - nothing here is a secret
    first, last = _word(chance, _FIRST), _word(chance, _LAST)
    count = min(_MAX_ORDERS, int(chance.expovariate(1 / 2.5)))
    orders = tuple(
        PlannedOrder(round(chance.lognormvariate(8, 1)) + 99, chance.choice(_OUTCOMES))
        for _ in range(count)
    )
    return Person(
        name=f"{first} {last}",
        email=f"{first}.{last}.{seed}.{number}@example.com".lower(),
        orders=orders,
        new_name=f"{first} {_word(chance, _LAST)}" if chance.random() < 0.1 else None,
    )


def _word(chance: random.Random, words: str) -> str:
    return chance.choice(words.split())


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
