"""The ground that all peers stand on: the stores, filled, with a relay and a projector at work on them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from redis.asyncio import Redis

from api.embedded import Stores, embedded_stores
from api.roles import read_model_fingerprint
from api.settings import Settings
from domain.envelope import partition_of
from domain.ids import new_id
from domain.users.events import OrderCompleted, OrderId, OrderPlaced, UserCreated, UserEvent
from readside.redis_functions.keys import ACTIVE_PREFIX, Keys, Partition
from tests.benchmarks import history, questions
from tests.benchmarks.answering import ProcessError
from tests.processes import HOST, TANDEM, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

PAGES = 50
BUILT_WITHIN = 120.0

TABLES = """
    create table peer_users (
        id uuid primary key, name text not null, email text not null, email_key text unique,
        version integer not null, created_at timestamptz not null, updated_at timestamptz not null
    );
    create table peer_orders (
        id uuid primary key, user_id uuid not null references peer_users (id), status text not null,
        total bigint not null, placed_at timestamptz not null, closed_at timestamptz
    );
    create index on peer_orders (user_id);
    create table peer_events (
        position bigint not null generated always as identity, partition smallint not null,
        user_id uuid not null, version integer not null, type text not null, schema smallint not null,
        data jsonb not null, metadata jsonb not null, occurred_at timestamptz not null,
        primary key (partition, position), unique (user_id, version)
    );
"""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """`prefixes`: of the keys of each partition in the generation that serves; `ids`: newest first;
    `role_pids`: of the relay and of the projector."""

    directory: Path
    stores: Stores
    prefixes: list[str]
    ids: list[str]
    role_pids: list[int]

    @property
    def environment(self) -> dict[str, str]:
        """Of Tandem's processes."""
        stores = {"DATABASE_URL": self.stores.database_url, "REDIS_URL": self.stores.redis_url}
        return {
            "HOST": HOST,
            "DATA_DIR": str(self.directory),
            "PARTITIONS": str(history.PARTITIONS),
            **stores,
        }

    @property
    def store_pids(self) -> list[int]:
        return [server.pid for server in self.stores.servers]

    @property
    def key_of_a_user(self) -> str:
        user = self.ids[0]
        return f"{self.prefixes[partition_of(UUID(user), len(self.prefixes))]}:user:{user}"

    @property
    def cursors(self) -> list[str | None]:
        """Where the pages of 20 begin that are asked for."""
        ends = self.ids[questions.PAGE_SIZE - 1 :: questions.PAGE_SIZE]
        return [None, *(questions.cursor(user) for user in ends[: PAGES - 1])]


@asynccontextmanager
async def cluster(
    directory: Path,
    users: int,
    *,
    life: history.Life | None = None,
    program: Sequence[str] = (TANDEM,),
    fingerprint: str = "",
    tables: str = "",
) -> AsyncIterator[Cluster]:
    """`life`: of each user; `program`: runs a role, with read models of `fingerprint`; `tables`: more SQL."""
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(embedded_stores(directory))
        ids = await _filled(stores.database_url, users, life or _life, TABLES + tables)
        found = Cluster(directory=directory, stores=stores, prefixes=[], ids=ids, role_pids=[])
        for role in ("relay", "projector"):
            log = directory / f"{role}.log"
            process = running(*program, role, env=found.environment, log=log)
            found.role_pids.append((await stack.enter_async_context(process)).pid)
        settings = Settings(partitions=history.PARTITIONS)
        pointer = ACTIVE_PREFIX + (fingerprint or read_model_fingerprint(settings))
        found.prefixes.extend(await _built(stores.redis_url, users, pointer))
        yield found


async def _filled(database_url: str, users: int, life: history.Life, tables: str) -> list[str]:
    async with history.migrated(database_url) as connection:
        await history.write_users(connection, users, life)
        await connection.execute(tables)
        rows = await connection.fetch("select distinct user_id from events order by 1 desc")
    return [str(row["user_id"]) for row in rows]


def _life(number: int) -> Iterator[UserEvent]:
    yield UserCreated(name=f"User {number}", email=f"user-{number}@example.com")
    order_id, total = OrderId(new_id()), 99 + number
    yield OrderPlaced(order_id=order_id, total=total)
    yield OrderCompleted(order_id=order_id, total=total)


async def _built(redis_url: str, users: int, pointer: str) -> list[str]:
    """The prefixes, once every user is there in full."""
    give_up = time.perf_counter() + BUILT_WITHIN
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        while time.perf_counter() < give_up:
            keys = await _serving(redis, pointer)
            if keys and sum([await redis.zcard(one.index("users")) for one in keys]) == users:
                return [one.prefix for one in keys]
            await asyncio.sleep(0.05)
    raise ProcessError(f"the read model was not built within {BUILT_WITHIN:.0f} s")


async def _serving(redis: Redis, pointer: str) -> list[Keys]:
    partitions = [Partition(number) for number in range(history.PARTITIONS)]
    named = [await redis.hget(one.generations, pointer) for one in partitions]
    return [Keys(one, str(name)) for one, name in zip(partitions, named, strict=True) if name]
