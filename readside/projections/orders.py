"""The orders of a user: a sorted set of ids by the user's version at placement, and a hash of their facts."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

import msgspec

from domain.events import (
    OrderCancelled,
    OrderCompleted,
    OrderId,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside.errors import ReadModelRebuilding
from readside.keys import Keys
from readside.moments import moment
from readside.packing import Form, pack
from readside.projection import Command, Happened
from readside.reader import Reads

_KNOWN = Form("HMGET", "version", "orderCount", "until")


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


def project(keys: Keys, happened: Happened) -> list[Command]:
    ids, facts = keys.of_user("orders", happened.user), keys.of_user("order-facts", happened.user)
    at = happened.at
    match happened.event:
        case OrderPlaced(order_id=order_id, total=total):
            order = str(order_id)
            return [
                ("ZADD", ids, str(happened.version), order),
                ("HSET", facts, f"{order}:placed", f"{total} {at}"),
            ]
        case OrderCompleted(order_id=order_id):
            return [_closed(facts, order_id, "COMPLETED", at)]
        case OrderCancelled(order_id=order_id):
            return [_closed(facts, order_id, "CANCELLED", at)]
        case UserCreated() | UserErased():
            # Created: whoever is made anew begins from nothing.
            return [("DEL", ids, facts)]
        case UserEmailUpdated() | UserRenamed():
            return []
        case _:
            assert_never(happened.event)


def _closed(facts: str, order_id: OrderId, status: str, at: str) -> Command:
    return ("HSET", facts, f"{order_id}:closed", f"{status} {at}")


async def page(reads: Reads, user_id: UUID, first: int, after: int | None) -> OrderPage:
    """The `first` newest orders of a user, or those behind the sequence `after`. Raises ReadModelError."""
    found = await _page(reads, user_id, first, after) or await _page(reads, user_id, first, after)
    if found is None:
        await reads.report_lost(reads.partition_of(user_id), str(user_id))
        raise ReadModelRebuilding
    return found


async def count(reads: Reads, user_id: UUID) -> int:
    """How many orders the user has placed. Raises ReadModelError."""
    [known] = await reads.ask(reads.partition_of(user_id), lambda keys: [_known(keys, user_id)])
    if (number := _number(known)) is None:
        await reads.report_lost(reads.partition_of(user_id), str(user_id))
        raise ReadModelRebuilding
    return number


async def _page(reads: Reads, user_id: UUID, first: int, after: int | None) -> OrderPage | None:
    """None if what was found does not fit together: an order was just placed or erased, or a key was lost."""
    partition = reads.partition_of(user_id)
    newest = "+inf" if after is None else f"({after}"
    limit = ("LIMIT", "0", str(first + 1))

    def ids_and_count(keys: Keys) -> list[bytes]:
        ids = keys.of_user("orders", user_id)
        return [
            pack(("ZREVRANGEBYSCORE", ids, newest, "-inf", "WITHSCORES", *limit)),
            pack(("ZCARD", ids)),
            _known(keys, user_id),
        ]

    flat, placed, known = await reads.ask(partition, ids_and_count)
    if placed != _number(known):
        return None
    ids, sequences = flat[::2], flat[1::2]
    if not ids:
        return OrderPage(rows=[], has_next=False)
    names = [f"{order_id}:{fact}" for order_id in ids[:first] for fact in ("placed", "closed")]
    [facts] = await reads.ask(
        partition, lambda keys: [pack(("HMGET", keys.of_user("order-facts", user_id), *names))]
    )
    if None in facts[::2]:
        return None
    rows = [
        _row(order_id, int(float(sequence)), placed_at, closed)
        for order_id, sequence, placed_at, closed in zip(
            ids[:first], sequences[:first], facts[::2], facts[1::2], strict=True
        )
    ]
    return OrderPage(rows=rows, has_next=len(ids) > first)


def _known(keys: Keys, user_id: UUID) -> bytes:
    """What the user's hash knows of its orders: that one cannot be lost unnoticed."""
    return _KNOWN.of(keys.user(user_id))


def _number(known: list[str | None]) -> int | None:
    """How many orders there must be; None if the user is just not there, or being made anew."""
    version, number, until = known
    return int(number or 0) if version is not None and until is None else None


def _row(order_id: str, sequence: int, placed: str, closed: str | None) -> OrderRow:
    total, placed_at = placed.split(" ")
    status, closed_at = closed.split(" ") if closed else ("OPEN", "")
    return OrderRow(
        id=order_id,
        status=status,
        total=int(total),
        placed_at=moment(placed_at),
        completed_at=moment(closed_at) if status == "COMPLETED" else None,
        sequence=sequence,
    )
