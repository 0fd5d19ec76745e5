"""Long event logs, written straight into the table: what the service reads, it would have written so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from domain.envelope import encode, partition_of
from domain.ids import new_id
from domain.migrate import migrate
from domain.users.events import (
    OrderCompleted,
    OrderId,
    OrderPlaced,
    UserCreated,
    UserEvent,
    UserRenamed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

PARTITIONS = 8
EACH = 8
"""Events of a user."""

Life = Callable[[int], Iterator[UserEvent]]
"""What happens to the user of that number."""

_COLUMNS = ("partition", "user_id", "version", "type", "schema", "data", "metadata", "occurred_at")
_CHUNK = 5_000
"""Users that are written at a time."""


@asynccontextmanager
async def migrated(
    database_url: str, partitions: int = PARTITIONS
) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database that has the tables."""
    connection = await asyncpg.connect(database_url)
    try:
        await migrate(connection, partitions)
        yield connection
    finally:
        await connection.close()


async def write(connection: asyncpg.Connection, events: int) -> None:
    """Appends so many events, eight of each user, in the order in which they would have come."""
    await write_users(connection, events // EACH, _life)


async def write_users(
    connection: asyncpg.Connection, users: int, life: Life, partitions: int = PARTITIONS
) -> None:
    """Appends the lives of so many users."""
    for start in range(0, users, _CHUNK):
        numbers = range(start, min(start + _CHUNK, users))
        records = [
            record for number in numbers for record in _records(new_id(), life(number), partitions)
        ]
        await connection.copy_records_to_table("events", records=records, columns=_COLUMNS)
    await connection.execute("vacuum analyze events")


async def write_one(connection: asyncpg.Connection) -> None:
    """One event, in a transaction of its own."""
    record = next(_records(new_id(), _life(0)))
    await connection.copy_records_to_table("events", records=[record], columns=_COLUMNS)


def _records(
    user_id: UUID, life: Iterator[UserEvent], partitions: int = PARTITIONS
) -> Iterator[tuple[object, ...]]:
    partition, now = partition_of(user_id, partitions), datetime.now(UTC)
    for version, event in enumerate(life, start=1):
        tag, schema, data = encode("user", event)
        yield partition, user_id, version, tag, schema, data, "{}", now


def _life(number: int) -> Iterator[UserEvent]:
    yield UserCreated(name=f"User {number}", email=f"user-{new_id().hex}@example.com")
    yield UserRenamed(name=f"Renamed {number}")
    for total in (1250, 99, 100_000):
        order_id = OrderId(new_id())
        yield OrderPlaced(order_id=order_id, total=total)
        yield OrderCompleted(order_id=order_id, total=total)
