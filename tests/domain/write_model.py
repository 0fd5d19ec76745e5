"""A write model for tests: executes commands, and reads every row."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.aggregate_contract import Aggregate, AggregateState
from domain.aggregates import AGGREGATES
from domain.command import Command, CommandResult
from domain.envelope import decode
from domain.event import DomainEvent
from domain.ids import new_id
from domain.refusal import Refusal
from domain.users.aggregate import USER
from domain.users.commands.create_user import CreateUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.events import OrderId, UserId
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
        return UserId((await self.ask(create(name, address))).aggregate_id)

    async def order(self, user_id: UserId, total: int = 1250) -> OrderId:
        order_id = OrderId(new_id())
        await self.ask(PlaceOrder(user_id=user_id, order_id=order_id, total=total))
        return order_id

    async def history(self, aggregate_id: UUID) -> list[DomainEvent]:
        return [event for event, _ in await self._history(aggregate_id)]

    async def _history(self, aggregate_id: UUID) -> list[tuple[DomainEvent, datetime]]:
        rows = await self.rows(
            "select * from events where user_id = $1 order by version", aggregate_id
        )
        assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
        return [
            (
                decode(row["aggregate"], row["type"], row["schema"], row["data"].encode()),
                row["occurred_at"],
            )
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
        for aggregate in AGGREGATES.values():
            ids = await self.rows(
                "select distinct user_id as id from events where aggregate = $1", aggregate.name
            )
            states = [await self.folded(row["id"], aggregate) for row in ids]
            kept = await self.rows(f"select * from {aggregate.table} order by id")
            for row in kept:
                assert (row.pop("secret") is None) == (row["erased_at"] is not None)
            assert kept == _sorted(_row(state, aggregate) for state in states)
            for field, children in aggregate.children.items():
                rows = [
                    {**msgspec.structs.asdict(child), children.parent: state.id}
                    for state in states
                    for child in getattr(state, field).values()
                ]
                assert await self.rows(f"select * from {children.table} order by id") == _sorted(
                    rows
                )

    async def folded(self, aggregate_id: UUID, aggregate: Aggregate = USER) -> Any:
        state = aggregate.state(id=aggregate_id)
        for event, at in await self._history(aggregate_id):
            state = aggregate.after(state, event, at)
        return state

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


def _row(state: AggregateState, aggregate: Aggregate) -> dict[str, Any]:
    row = msgspec.structs.asdict(state)
    for field in ("secret", *aggregate.children):  # no event contains a secret
        del row[field]
    for key in aggregate.unique:
        if key.source and key.derive:
            row[key.column] = None if state.erased_at else key.derive(row[key.source])
    return row


def _sorted(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["id"])
