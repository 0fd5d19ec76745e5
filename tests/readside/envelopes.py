"""Builders of envelopes: numbered users, and events with their versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import msgspec

from domain.envelope import Envelope, encode, is_final, partition_of
from domain.event import DomainEvent
from domain.users.events import OrderId, UserId

PARTITIONS = 2
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def user_in(partition: int, number: int = 0) -> UserId:
    """Returns the n-th user of a partition. Users sort by number, the order of their creation."""
    ids = (UUID(int=(7 << 76) | (2 << 62) | value << 80) for value in range(1, 2000))
    mine = (found for found in ids if partition_of(found, PARTITIONS) == partition)
    return UserId(next(islice(mine, number, None)))


def located(*users: UUID) -> dict[str, int]:
    """Returns the ids of users, each with its partition, as lists return them."""
    return {str(user): partition_of(user, PARTITIONS) for user in users}


def order(number: int) -> OrderId:
    return OrderId(UUID(int=(7 << 76) | (2 << 62) | number))


def minute(version: int) -> datetime:
    """Returns when a version of any user occurred."""
    return NOON + timedelta(minutes=version)


def moment_of(version: int) -> str:
    """Returns the same in RFC 3339."""
    return f"{minute(version):%Y-%m-%dT%H:%M:%S}.000Z"


def envelope(user_id: UUID, version: int, event: DomainEvent, aggregate: str = "user") -> Envelope:
    kind, schema, data = encode(aggregate, event)
    return Envelope(
        aggregate=aggregate,
        aggregate_id=user_id,
        version=version,
        type=kind,
        schema=schema,
        data=msgspec.Raw(data.encode()),
        occurred_at=minute(version),
        final=is_final(aggregate, kind),
    )


def story(
    user_id: UUID, *events: DomainEvent, after: int = 0, aggregate: str = "user"
) -> list[Envelope]:
    """Returns the envelopes of an aggregate's events, in order, above the version `after`."""
    return [
        envelope(user_id, version, event, aggregate)
        for version, event in enumerate(events, start=after + 1)
    ]


def spoilt(sound: Envelope, **changes: object) -> Envelope:
    """Returns the envelope with changes that make it a poison event."""
    return msgspec.structs.replace(sound, **changes)
