"""Envelopes to test with: users with numbers, and stories that give each user's events their versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from domain.envelope import Envelope, encode, partition_of
from domain.users.events import Event, OrderId, UserId

PARTITIONS = 2
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def user_in(partition: int, number: int = 0) -> UserId:
    """The n-th user of a partition. Users sort by number: they were made in that order."""
    ids = (UUID(int=(7 << 76) | (2 << 62) | value << 80) for value in range(1, 2000))
    mine = [found for found in ids if partition_of(found, PARTITIONS) == partition]
    return UserId(mine[number])


def located(*users: UUID) -> dict[str, int]:
    """Users as lists tell them: by their ids, each with its partition."""
    return {str(user): partition_of(user, PARTITIONS) for user in users}


def order(number: int) -> OrderId:
    return OrderId(UUID(int=(7 << 76) | (2 << 62) | number))


def minute(version: int) -> datetime:
    """When a user's version came about, in every story."""
    return NOON + timedelta(minutes=version)


def moment_of(version: int) -> str:
    """The same, as read models tell it."""
    return f"{minute(version):%Y-%m-%dT%H:%M:%S}.000Z"


def envelope(user_id: UserId, version: int, event: Event) -> Envelope:
    kind, schema, data = encode(event)
    return Envelope(
        user_id=user_id,
        version=version,
        type=kind,
        schema=schema,
        data=msgspec.Raw(data.encode()),
        occurred_at=minute(version),
    )


def story(user_id: UserId, *events: Event, after: int = 0) -> list[Envelope]:
    """What happened to a user, in order, behind the version `after`."""
    return [
        envelope(user_id, version, event) for version, event in enumerate(events, start=after + 1)
    ]


def spoilt(sound: Envelope, **changes: object) -> Envelope:
    """The same envelope, but for what makes it a poison event."""
    return msgspec.structs.replace(sound, **changes)
