"""The real stores that tests run against: one PostgreSQL and one Valkey for each test process.

They live in a thread of their own, because a test's event loop ends with the test, and because the
stores die with the thread that started them. Every test gets a new database and an empty Valkey.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from anyio.from_thread import start_blocking_portal
from redis.asyncio import Redis

from api.embedded import embedded_stores
from api.embedded.data_directory import opened_directory
from api.embedded.locks import try_lock
from domain.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.from_thread import BlockingPortal

    from api.embedded import Stores

PARTITIONS = 8
PREFIX = "tandem-tests-"
ENOUGH_BYTES = 2_000_000_000


class OwnStores:
    """The stores of this test process, for code that has no event loop of its own."""

    def __init__(self, portal: BlockingPortal, stores: Stores) -> None:
        self.stores = stores
        self._portal = portal
        self._numbers = count(1)
        self._template: str | None = None
        self._administrator: asyncpg.Connection | None = None

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a new database, which is dropped afterwards, whoever is still connected."""
        template = self._migrated_template() if migrated else "template1"
        name = self._create_from(template)
        try:
            yield self.url(name)
        finally:
            self._execute(f"drop database {name} with (force)")

    @contextmanager
    def empty_valkey(self) -> Iterator[str]:
        """The URL of the Valkey with neither keys nor functions nor old connections in it."""
        self._portal.call(self._empty_valkey)
        yield self.stores.redis_url

    def close(self) -> None:
        self._portal.call(self._close)

    def url(self, database: str) -> str:
        return self.stores.database_url.replace("/tandem?", f"/{database}?")

    def _create_from(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        self._execute(f"create database {name} template {template} strategy file_copy")
        return name

    def _migrated_template(self) -> str:
        if self._template is None:
            name = self._create_from("template1")
            self._portal.call(self._migrate, name)
            self._template = name
        return self._template

    async def _migrate(self, database: str) -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            await migrate(connection, PARTITIONS)
        finally:
            await connection.close()

    def _execute(self, statement: str) -> None:
        self._portal.call(self._execute_here, statement)

    async def _execute_here(self, statement: str) -> None:
        """On a connection that stays open: there are two statements for each of thousands of tests."""
        if self._administrator is None or self._administrator.is_closed():
            self._administrator = await asyncpg.connect(self.url("postgres"))
        await self._administrator.execute(statement)

    async def _empty_valkey(self) -> None:
        """In one round trip, and without those of redis-py for each new connection."""
        async with (
            Redis.from_url(self.stores.redis_url, protocol=2, driver_info=None) as valkey,
            valkey.pipeline(transaction=False) as pipeline,
        ):
            pipeline.client_kill_filter(_type="normal", skipme=True)
            pipeline.client_kill_filter(_type="pubsub", skipme=True)
            pipeline.flushall()
            pipeline.function_flush()
            pipeline.config_resetstat()
            await pipeline.execute()

    async def _close(self) -> None:
        if self._administrator is not None:
            await self._administrator.close()


@contextmanager
def own_stores() -> Iterator[OwnStores]:
    sweep(fast_temp())
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=fast_temp()) as place,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(embedded_stores(Path(place), durable=False)) as stores,
    ):
        own = OwnStores(portal, stores)
        try:
            yield own
        finally:
            own.close()


def fast_temp() -> Path:
    """Memory where there is enough: a new database takes 10 ms there and 100 ms on a disk."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ENOUGH_BYTES:
        return memory
    return Path(tempfile.gettempdir())


def sweep(temp: Path) -> None:
    """Remove what test processes left that were killed: old, and no longer locked by a store."""
    for place in temp.glob(f"{PREFIX}*"):
        lock = place / "servers.lock"
        if os.access(lock, os.W_OK) and lock.stat().st_mtime < time.time() - 60:
            with opened_directory(place) as data, data.opened("servers.lock") as descriptor:
                if try_lock(descriptor):
                    shutil.rmtree(place, ignore_errors=True)
