"""What both stores hold of users, orders, events and idempotency keys, by table, index and kind of key."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from api.embedded import embedded_stores
from api.roles import Role, read_model_fingerprint
from api.runtime import drivers
from api.runtime.background import cancel_all
from api.runtime.composition import compose
from api.settings import Settings
from domain.command import Command, CommandResult
from domain.ids import new_id
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.create_user import CreateUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.events import OrderId, UserId
from domain.users.values import parse_email
from domain.write.store import Store
from readside.admin.partition_status import partition_statuses
from tests.benchmarks import history
from tests.benchmarks.figures import Figure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from tests.benchmarks.bench import Bench

USERS = 10_000
"""Each places two orders and completes one: four events, and four idempotency keys of 36 characters."""

EVENTS = 4 * USERS
CHANGED, RENAMES = 20, 110
"""Users that change more often than is remembered, afterwards."""

AT_ONCE = 16

METADATA = {
    "commandId": str(new_id()),
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
"""As commands of a client that sends a trace context have it."""

_RELATIONS = """
    select of::text, of::text as name, pg_table_size(of) as bytes from unnest($1::regclass[]) as of
    union all
    select indrelid::regclass::text, indexrelid::regclass::text, pg_relation_size(indexrelid)
    from pg_index where indrelid = any($1::regclass[])
    order by of, name desc
"""
TABLES = {"users": USERS, "orders": 2 * USERS, "events": EVENTS, "commands": EVENTS}
"""With their rows."""


async def storage(bench: Bench) -> None:
    directory = bench.directory / "storage"
    directory.mkdir()
    async with (
        embedded_stores(directory) as stores,
        Redis.from_url(stores.redis_url, decode_responses=True) as redis,
    ):
        settings = Settings(database_url=stores.database_url, redis_url=stores.redis_url)
        async with history.migrated(stores.database_url) as connection:
            async with bench.step(f"writing {USERS:,} users"):
                bench.found.figures += await _of_streams(settings, redis)
            bench.found.figures += await _of_tables(connection)
        async with bench.step("building the read models"):
            bench.found.figures += await _of_read_models(settings, redis)
        async with bench.step(f"renaming {CHANGED} users {RENAMES} times"):
            bench.found.figures.append(await _of_a_history(settings, redis))


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    async with drivers.database(settings) as pool:
        yield Store(
            pool,
            partitions=settings.partitions,
            now=lambda: datetime.now(UTC),
            wake=lambda _: None,
        )


async def _each(numbers: Any, act: Any) -> None:
    waiting = iter(numbers)

    async def some() -> None:
        for number in waiting:
            await act(number)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def _done(store: Store, command: Command) -> None:
    answer = await store.execute(command, metadata=METADATA)
    assert isinstance(answer, CommandResult)


async def _life(store: Store, number: int) -> None:
    user_id, orders = UserId(new_id()), [OrderId(new_id()) for _ in range(2)]
    address = parse_email(f"user-{number:06}@example.com")

    def key() -> str:
        return str(new_id())

    created = CreateUser(
        user_id=user_id, name=f"User {number:06}", email=address, idempotency_key=key()
    )
    await _done(store, created)
    for order_id in orders:
        placed = PlaceOrder(user_id=user_id, order_id=order_id, total=1250, idempotency_key=key())
        await _done(store, placed)
    await _done(store, CompleteOrder(order_id=orders[0], idempotency_key=key()))


async def _of_tables(connection: asyncpg.Connection) -> list[Figure]:
    await connection.execute("vacuum analyze")
    return [
        Figure(
            name=f"PostgreSQL, {row['name']}",
            value=row["bytes"] / TABLES[row["of"]],
            unit=f"bytes a row of {row['of']}",
        )
        for row in await connection.fetch(_RELATIONS, list(TABLES))
    ]


async def _of_streams(settings: Settings, redis: Any) -> list[Figure]:
    """Those of the users that are written meanwhile: while nothing projects, nothing is trimmed."""
    async with _running(settings, frozenset({Role.RELAY})), _store(settings) as store:
        while not all(one.cursor for one in await _standings(settings)):
            await asyncio.sleep(0.1)
        await _each(range(USERS), lambda number: _life(store, number))
        while await _entries(settings) < EVENTS:
            await asyncio.sleep(0.1)
    kinds, _ = await _kinds(redis)
    return [Figure(name="Redis, stream", value=kinds["stream"] / EVENTS, unit="bytes an event")]


async def _of_read_models(settings: Settings, redis: Any) -> list[Figure]:
    await redis.flushall()
    before = await _used(redis)
    async with _running(settings, frozenset({Role.RELAY, Role.PROJECTOR})):
        await _settled(settings)
    kinds, number = await _kinds(redis)
    each = [
        Figure(
            name=f"Redis, {kind}, {number[kind]:,} keys", value=size / USERS, unit="bytes a user"
        )
        for kind, size in kinds.most_common()
        if size > USERS
    ]
    total = (await _used(redis) - before) / USERS
    return [*each, Figure(name="Redis, used_memory", value=total, unit="bytes a user")]


async def _of_a_history(settings: Settings, redis: Any) -> Figure:
    """The rest of what a user holds does not change with its versions."""
    async with drivers.database(settings) as pool, _store(settings) as store:
        users = [row["id"] for row in await pool.fetch(f"select id from users limit {CHANGED}")]

        async def renamed(user_id: Any) -> None:
            for number in range(RENAMES):
                await _done(store, RenameUser(user_id=user_id, name=f"User {number:06}"))

        await _each(users, renamed)
    async with _running(settings, frozenset({Role.RELAY, Role.PROJECTOR})):
        await _settled(settings)
    names = [key for user in users for key in await redis.keys(f"*:recent:{user}")]
    sizes = [await redis.memory_usage(name) for name in names]
    return Figure(
        name="Redis, recent, of 100 versions",
        value=sum(sizes) / CHANGED,
        unit="bytes a user",
    )


@asynccontextmanager
async def _running(settings: Settings, roles: frozenset[Role]) -> AsyncIterator[None]:
    async with compose(settings, roles) as service:
        tasks = [asyncio.create_task(loop(), name=name) for name, loop in service.loops.items()]
        try:
            yield
        finally:
            await cancel_all(tasks)


async def _standings(settings: Settings) -> Any:
    async with drivers.redis_for_functions(settings) as redis:
        return await partition_statuses(
            redis, settings.partitions, read_model_fingerprint(settings)
        )


async def _entries(settings: Settings) -> int:
    return sum(one.entries for one in await _standings(settings))


async def _settled(settings: Settings) -> None:
    """Until every partition is served and has applied all there is, and the old generations are gone."""
    while True:
        found = await _standings(settings)
        async with drivers.database(settings) as pool:
            events = await pool.fetchval("select count(*) from events")
        done = all(one.behind == 0 and not one.building for one in found)
        if done and sum(one.applied for one in found) == events:
            return
        await asyncio.sleep(0.2)


async def _kinds(redis: Any) -> tuple[Counter[str], Counter[str]]:
    """Bytes of all keys, and their number, by the last part of their name that is no user."""
    sizes: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    cursor = 0
    while True:
        cursor, keys = await redis.scan(cursor, count=2000)
        asked = redis.pipeline(transaction=False)
        for key in keys:
            asked.memory_usage(key, samples=0)
        for key, size in zip(keys, await asked.execute(), strict=True):
            place, _, name = key.split(":", 2)[-1].partition(
                ":"
            )  # a generation, or what outlives it
            kind = (name or place).partition(":")[0]
            sizes[kind] += int(size or 0)
            numbers[kind] += 1
        if not cursor:
            return sizes, numbers


async def _used(redis: Any) -> int:
    memory: Any = await redis.info("memory")
    return int(memory["used_memory"])
