"""A relay from a real log to streams in memory, and transactions that a test keeps open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from domain.envelope import partition_of
from domain.ids import new_id
from domain.log.relay import Relay
from domain.log.relay_log import RelayLog
from domain.users.events import UserId
from tests.domain.log.memory_stream import MemoryStream
from tests.domain.write_model import PARTITIONS, WriteModel
from tests.limited import limited

_INSERT = """
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    values ($1, $2, $3, 'UserRenamed', 1, '{"name": "N"}', '{}', now())
"""


class RelayHarness:
    """The log, the streams, and any number of relays between them."""

    def __init__(self, model: WriteModel) -> None:
        self.model = model
        self.stream = MemoryStream()

    def relay(
        self, *, verify_interval_seconds: float = 1e9, inspection_interval_seconds: float = 1e9
    ) -> Relay:
        return Relay(
            RelayLog(self.model.pool),
            self.stream,
            range(PARTITIONS),
            verify_interval_seconds=verify_interval_seconds,
            inspection_interval_seconds=inspection_interval_seconds,
        )

    async def started(self, *, verify_interval_seconds: float = 1e9) -> Relay:
        """Returns a relay whose streams have started."""
        relay = self.relay(verify_interval_seconds=verify_interval_seconds)
        await settle(relay)
        assert sorted(self.stream.encoded_cursors) == list(range(PARTITIONS))
        return relay

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PoolConnectionProxy]:
        """An open transaction that has its number already."""
        async with self.model.pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_current_xact_id()")
            yield connection

    async def assert_all_is_published(self) -> None:
        """Asserts that every event of the log is in the streams once, and each user's events are in order."""
        rows = await self.model.rows("select user_id, version from events")
        logged = sorted((row["user_id"], row["version"]) for row in rows)
        assert self.stream.all == logged
        for user_id in {user_id for user_id, _ in logged}:
            versions = self.stream.versions(user_id)
            assert versions == sorted(versions)


async def write(
    connection: PoolConnectionProxy | asyncpg.Pool, user_id: UUID, version: int
) -> None:
    await connection.execute(_INSERT, partition_of(user_id, PARTITIONS), user_id, version)


async def settle(relay: Relay) -> None:
    """Runs passes until two in a row have nothing to do."""
    idle = 0
    async with limited(30):
        while idle < 2:
            idle = 0 if await relay.run_once() else idle + 1


def user_in(partition: int) -> UserId:
    """Returns a new user whose events are in this partition."""
    while True:
        user_id = UserId(new_id())
        if partition_of(user_id, PARTITIONS) == partition:
            return user_id
