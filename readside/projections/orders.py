"""The orders of a user: a sorted set by the user's version at placement, and a hash of closed orders.

Orders are found by their ids with an index in each partition: "order id, the user's version, user id".

A member of the set is "order id, total, milliseconds since 1970": with the time in that form none is longer
than 64 bytes, the limit of Redis' compact form of small sets (zset-max-listpack-value).
"""

from __future__ import annotations

from asyncio import gather
from collections.abc import Iterable
from typing import assert_never
from uuid import UUID

import msgspec

from domain.users import events
from readside.errors import ReadModelRebuilding
from readside.projection import Command, ProjectedEvent
from readside.queries.entry_index import EntryIndex
from readside.queries.page_request import PageRequest
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate, pack
from readside.redis_functions.keys import Keys
from readside.timestamps import from_epoch_millis, to_epoch_millis

_READ_COUNTS = CommandTemplate("HMGET", "version", "orderCount", "closedCount", "until")
"""Reads the user's hash, whose loss is always detected."""

_BY_ID = EntryIndex("orders-by-id", words=2)


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: str
    """OPEN, COMPLETED or CANCELLED."""
    total: int
    """Minor units."""
    placed_at: str
    completed_at: str | None
    sequence: int
    """The user's version at placement, by which a user's orders are sorted."""


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[OrderRow]
    has_more: bool
    """Whether the range has more orders after a page, or before a backward one."""


def project(keys: Keys, event: ProjectedEvent[events.UserEvent]) -> list[Command]:
    placed, closed = (
        keys.owned_key("orders", event.aggregate_id),
        keys.owned_key("closed", event.aggregate_id),
    )
    by_id, user_id = keys.shared_key("orders-by-id"), event.aggregate_id
    at = event.occurred_at
    match event.data:
        case events.OrderPlaced(order_id=order_id, total=total):
            member = f"{order_id} {total} {to_epoch_millis(at)}"
            return [
                ("ZADD", placed, str(event.version), member),
                ("ZADD", by_id, "0", f"{order_id} {event.version} {user_id}"),
            ]
        case events.OrderCompleted(order_id=order_id):
            return [("HSET", closed, str(order_id), f"COMPLETED {at}")]
        case events.OrderCancelled(order_id=order_id):
            return [("HSET", closed, str(order_id), f"CANCELLED {at}")]
        case events.UserCreated():  # a replay begins here
            return [("DEL", placed, closed)]
        case events.UserErased():
            return [("UNINDEX", by_id, placed, user_id, "orderCount"), ("DEL", closed)]
        case events.UserEmailUpdated() | events.UserRenamed():
            return []
        case _:
            assert_never(event.data)


async def page(read_model: ReadModel, user_id: UUID, request: PageRequest[int]) -> OrderPage:
    """Returns a page of a user's orders, by their sequences. Raises ReadModelError."""
    for source in (read_model, read_model.primary):
        if (found := await _page(source, user_id, request)) is not None:
            return found
    await read_model.request_resync(read_model.partition_of(user_id), str(user_id))
    raise ReadModelRebuilding


async def find(read_model: ReadModel, order_ids: Iterable[UUID]) -> list[OrderRow]:
    """Returns the orders with these ids, without those that do not exist. Raises ReadModelError."""
    found = await _BY_ID.find(read_model, [str(order_id) for order_id in order_ids])
    pages = await gather(
        *(
            page(read_model, UUID(user), PageRequest(1, int(version) + 1, int(version) - 1))
            for entries in found.values()
            for version, user in entries
        )
    )
    return [row for page in pages for row in page.rows]


async def count(read_model: ReadModel, user_id: UUID) -> int:
    """Returns the number of orders that the user has placed. Raises ReadModelError."""
    partition = read_model.partition_of(user_id)
    [fields] = await read_model.read(
        partition, lambda keys: [_READ_COUNTS.pack(keys.document("user", user_id))]
    )
    if (counts := _counts(fields)) is None:
        await read_model.request_resync(partition, str(user_id))
        raise ReadModelRebuilding
    return counts[0]


async def _page(
    read_model: ReadModel, user_id: UUID, request: PageRequest[int]
) -> OrderPage | None:
    """Returns None for inconsistent replies: an order was just placed or erased, or a key was lost."""
    bounds = request.range("-inf", "+inf")
    limit = ("LIMIT", "0", str(request.size + 1))

    def read_orders(keys: Keys) -> list[bytes]:
        orders = keys.owned_key("orders", user_id)
        return [
            pack(("ZRANGE", orders, *bounds, "BYSCORE", *limit, "WITHSCORES")),
            pack(("ZCARD", orders)),
            _READ_COUNTS.pack(keys.document("user", user_id)),
        ]

    flat, size, fields = await read_model.read(read_model.partition_of(user_id), read_orders)
    counts = _counts(fields)
    if counts is None or size != counts[0]:
        return None
    pairs = list(zip(flat[::2], flat[1::2], strict=True))[: request.size]
    if request.backward:
        pairs.reverse()
    placed = [member.split(" ") for member, _ in pairs]
    closed: list[str | None] | None = [None] * len(placed)
    if placed and counts[1]:
        closed = await _closed(read_model, user_id, [order_id for order_id, *_ in placed])
    if closed is None:
        return None
    rows = [
        _row(order_id, total, at, int(float(sequence)), closed_as)
        for (order_id, total, at), (_, sequence), closed_as in zip(
            placed, pairs, closed, strict=True
        )
    ]
    return OrderPage(rows=rows, has_more=len(flat) > 2 * request.size)


async def _closed(
    read_model: ReadModel, user_id: UUID, order_ids: list[str]
) -> list[str | None] | None:
    """Returns how these orders were closed, None for an open one; None if some closed order was lost."""

    def read_closed(keys: Keys) -> list[bytes]:
        closed = keys.owned_key("closed", user_id)
        return [
            pack(("HMGET", closed, *order_ids)),
            pack(("HLEN", closed)),
            _READ_COUNTS.pack(keys.document("user", user_id)),
        ]

    partition = read_model.partition_of(user_id)
    closed, size, fields = await read_model.read(partition, read_closed)
    counts = _counts(fields)
    return closed if counts is not None and size == counts[1] else None


def _counts(fields: list[str | None]) -> tuple[int, int] | None:
    """Returns the number of orders and of closed orders; None if the user does not exist or is hidden."""
    version, placed, closed, visible_from = fields
    if version is None or visible_from is not None:
        return None
    return int(placed or 0), int(closed or 0)


def _row(order_id: str, total: str, placed: str, sequence: int, closed_as: str | None) -> OrderRow:
    status, closed_at = closed_as.split(" ") if closed_as else ("OPEN", "")
    return OrderRow(
        id=order_id,
        status=status,
        total=int(total),
        placed_at=from_epoch_millis(placed),
        completed_at=closed_at if status == "COMPLETED" else None,
        sequence=sequence,
    )
