"""A write model for tests: executes commands, and reads every row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from domain.command import Command, CommandResult
from domain.envelope import decode
from domain.ids import new_id
from domain.refusal import Refusal
from domain.users.commands.create_user import CreateUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.events import Event, OrderId, UserId, email_key
from domain.users.state import User, evolve
from domain.users.values import parse_email
from domain.write.store import Store
from tests.limited import limited

PARTITIONS = 8
START = datetime(2026, 1, 1, tzinfo=UTC)


class WriteModel:
    """A store, a clock that advances by a second each time it is read, and the tables."""

    def __init__(self, pool: asyncpg.Pool, *, timeout_seconds: float = 5.0) -> None:
        self.pool = pool
        self.woken: list[int] = []
        self._ticks = 0
        self.store = Store(
            pool,
            partitions=PARTITIONS,
            now=self._now,
            wake=self.woken.append,
            timeout_seconds=timeout_seconds,
        )

    def _now(self) -> datetime:
        self._ticks += 1
        return START + timedelta(seconds=self._ticks)

    async def ask(self, command: Command) -> CommandResult:
        answer = await self.store.execute(command)
        assert isinstance(answer, CommandResult), answer
        return answer

    async def refused(self, command: Command) -> Refusal:
        refusal = await self.store.execute(command)
        assert isinstance(refusal, Refusal), refusal
        return refusal

    async def user(self, name: str = "Alice", address: str = "alice@example.com") -> UserId:
        return (await self.ask(create(name, address))).user_id

    async def order(self, user_id: UserId, total: int = 1250) -> OrderId:
        order_id = OrderId(new_id())
        await self.ask(PlaceOrder(user_id=user_id, order_id=order_id, total=total))
        return order_id

    async def history(self, user_id: UserId) -> list[Event]:
        return [event for event, _ in await self._history(user_id)]

    async def _history(self, user_id: UserId) -> list[tuple[Event, datetime]]:
        rows = await self.rows("select * from events where user_id = $1 order by version", user_id)
        assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
        return [
            (decode(row["type"], row["schema"], row["data"].encode()), row["occurred_at"])
            for row in rows
        ]

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.pool.fetch(query, *arguments)]

    async def count(self, table: str) -> int:
        return int(await self.pool.fetchval(f"select count(*) from {table}"))

    async def dump(self) -> str:
        """Every table as text."""
        tables = await self.rows("select relname from pg_class where relkind = 'r' and oid > 16000")
        rows = [
            str(row["text"])
            for table in tables
            for row in await self.rows(f"select t::text as text from {table['relname']} t")
        ]
        return "\n".join(sorted(rows))

    async def assert_tables_are_the_fold_of_the_log(self) -> None:
        ids = await self.rows("select distinct user_id from events")
        users = [await self.folded(row["user_id"]) for row in ids]
        kept = await self.rows("select * from users order by id")
        for row in kept:
            assert (row.pop("secret") is None) == (row["erased_at"] is not None)
        assert kept == sorted(map(_user_row, users), key=lambda row: row["id"])
        assert await self.rows("select * from orders order by id") == sorted(
            (row for user in users for row in _order_rows(user)), key=lambda row: row["id"]
        )

    async def folded(self, user_id: UserId) -> User:
        user = User(id=user_id)
        for event, at in await self._history(user_id):
            user = evolve(user, event, at)
        return user

    async def waits_for_a_lock(self, count: int = 1) -> int:
        """Returns the process id of a backend that waits for another transaction, once `count` of them do."""
        query = """
            select pid from pg_stat_activity
            where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0
        """
        async with limited(30), self.pool.acquire() as connection:
            while True:
                pids = [row["pid"] for row in await connection.fetch(query)]
                if len(pids) >= count:
                    return int(pids[0])


def create(name: str, address: str, key: str | None = None) -> CreateUser:
    return CreateUser(
        user_id=UserId(new_id()), name=name, email=parse_email(address), idempotency_key=key
    )


def _user_row(user: User) -> dict[str, Any]:
    row = msgspec.structs.asdict(user)
    del row["orders"], row["secret"]  # no event contains it
    return {**row, "email_key": None if user.erased_at else email_key(user.email)}


def _order_rows(user: User) -> list[dict[str, Any]]:
    return [
        {
            "id": order.id,
            "user_id": user.id,
            "status": order.status,
            "total": order.total,
            "placed_at": order.placed_at,
            "closed_at": order.closed_at,
        }
        for order in user.orders.values()
    ]
