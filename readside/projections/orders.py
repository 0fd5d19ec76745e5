"""The orders of a user: a sorted set by the user's version at placement, and a hash of how they ended.

A member of the set is "order id, total, milliseconds since 1970": with the time in that form none is longer
than 64 bytes, up to which Redis keeps small sets in a compact form (zset-max-listpack-value).
"""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

import msgspec

from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside.errors import ReadModelRebuilding
from readside.projection import Command, ProjectedEvent
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate, pack
from readside.redis_functions.keys import Keys
from readside.timestamps import from_epoch_millis, to_epoch_millis

_KNOWN = CommandTemplate("HMGET", "version", "orderCount", "closedCount", "until")


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: str
    """OPEN, COMPLETED or CANCELLED."""
    total: int
    """Minor units."""
    placed_at: str
    completed_at: str | None
    sequence: int
    """The user's version at placement: a user's orders are sorted by it."""


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[OrderRow]
    has_next: bool


def project(keys: Keys, happened: ProjectedEvent) -> list[Command]:
    placed, closed = (
        keys.user_key("orders", happened.user_id),
        keys.user_key("closed", happened.user_id),
    )
    at = happened.occurred_at
    match happened.data:
        case OrderPlaced(order_id=order_id, total=total):
            return [
                ("ZADD", placed, str(happened.version), f"{order_id} {total} {to_epoch_millis(at)}")
            ]
        case OrderCompleted(order_id=order_id):
            return [("HSET", closed, str(order_id), f"COMPLETED {at}")]
        case OrderCancelled(order_id=order_id):
            return [("HSET", closed, str(order_id), f"CANCELLED {at}")]
        case UserCreated() | UserErased():
            # Created: whoever is made anew begins from nothing.
            return [("DEL", placed, closed)]
        case UserEmailUpdated() | UserRenamed():
            return []
        case _:
            assert_never(happened.data)


async def page(reads: ReadModel, user_id: UUID, first: int, after: int | None) -> OrderPage:
    """The `first` newest orders of a user, or those behind the sequence `after`. Raises ReadModelError."""
    found = await _page(reads, user_id, first, after) or await _page(reads, user_id, first, after)
    if found is None:
        await reads.report_lost(reads.partition_of(user_id), str(user_id))
        raise ReadModelRebuilding
    return found


async def count(reads: ReadModel, user_id: UUID) -> int:
    """How many orders the user has placed. Raises ReadModelError."""
    [known] = await reads.ask(reads.partition_of(user_id), lambda keys: [_known(keys, user_id)])
    if (numbers := _numbers(known)) is None:
        await reads.report_lost(reads.partition_of(user_id), str(user_id))
        raise ReadModelRebuilding
    return numbers[0]


async def _page(reads: ReadModel, user_id: UUID, first: int, after: int | None) -> OrderPage | None:
    """None if what was found does not fit together: an order was just placed or erased, or a key was lost."""
    partition = reads.partition_of(user_id)
    newest = "+inf" if after is None else f"({after}"
    limit = ("LIMIT", "0", str(first + 1))

    def newest_and_count(keys: Keys) -> list[bytes]:
        orders = keys.user_key("orders", user_id)
        return [
            pack(("ZREVRANGEBYSCORE", orders, newest, "-inf", "WITHSCORES", *limit)),
            pack(("ZCARD", orders)),
            _known(keys, user_id),
        ]

    flat, count, known = await reads.ask(partition, newest_and_count)
    numbers = _numbers(known)
    if numbers is None or count != numbers[0]:
        return None
    placed = [member.split(" ") for member in flat[: 2 * first : 2]]
    ends: list[str | None] | None = [None] * len(placed)
    if placed and numbers[1]:
        ends = await _ends(reads, user_id, [order_id for order_id, *_ in placed])
    if ends is None:
        return None
    rows = [
        _row(order_id, total, at, int(float(sequence)), end)
        for (order_id, total, at), sequence, end in zip(
            placed, flat[1 : 2 * first : 2], ends, strict=True
        )
    ]
    return OrderPage(rows=rows, has_next=len(flat) > 2 * first)


async def _ends(reads: ReadModel, user_id: UUID, order_ids: list[str]) -> list[str | None] | None:
    """How these orders ended, None for an open one; None altogether if an end of some order was lost."""

    def ends_and_count(keys: Keys) -> list[bytes]:
        closed = keys.user_key("closed", user_id)
        return [
            pack(("HMGET", closed, *order_ids)),
            pack(("HLEN", closed)),
            _known(keys, user_id),
        ]

    ends, count, known = await reads.ask(reads.partition_of(user_id), ends_and_count)
    numbers = _numbers(known)
    return ends if numbers is not None and count == numbers[1] else None


def _known(keys: Keys, user_id: UUID) -> bytes:
    """What the user's hash knows of its orders: that one cannot be lost unnoticed."""
    return _KNOWN.of(keys.user_hash(user_id))


def _numbers(known: list[str | None]) -> tuple[int, int] | None:
    """How many orders there must be, and how many closed ones; None if the user is not there, or not yet."""
    version, placed, closed, until = known
    return None if version is None or until is not None else (int(placed or 0), int(closed or 0))


def _row(order_id: str, total: str, placed: str, sequence: int, end: str | None) -> OrderRow:
    status, closed = end.split(" ") if end else ("OPEN", "")
    return OrderRow(
        id=order_id,
        status=status,
        total=int(total),
        placed_at=from_epoch_millis(placed),
        completed_at=closed if status == "COMPLETED" else None,
        sequence=sequence,
    )
