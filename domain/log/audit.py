"""Audits the write model: do the tables of users and orders hold what the event log adds up to?

Every column of both tables is compared; a column that this code does not know is a mismatch, and so is
personal data in the events of an erased user. Each page is read in one snapshot, so that concurrent commits
are visible in all three tables or in none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from domain.envelope import Envelope, Undecodable
from domain.log.envelope_rows import ENVELOPE, envelope_from_row
from domain.users.email_keys import suffixed_key
from domain.users.events import PERSONAL_FIELDS, UserId, email_key
from domain.users.state import Order, User, evolve

if TYPE_CHECKING:
    import asyncpg

PAGE = 500
"""Users in memory at a time."""

_USER_IDS = "select id from users where id > $1 order by id limit $2"
_USERS = "select * from users where id = any($1::uuid[])"
_ORDERS = "select * from orders where user_id = any($1::uuid[])"
_EVENTS = f"""
    select {ENVELOPE} from events e where user_id = any($1::uuid[]) order by user_id, version
"""
_COLUMNS = """
    select attname from pg_attribute
    where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum
"""
_USERS_WITHOUT_ROW = """
    select distinct user_id from events e where not exists (select from users u where u.id = e.user_id)
"""


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a table that differs from the event log."""

    user: str
    table: str
    field: str
    should: Any = None
    """The value according to the log."""
    found: Any = None
    """The value in the table."""


class Audit:
    """A read-only audit. Raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def run(self) -> AsyncIterator[list[Mismatch]]:
        """Yields all mismatches, page by page."""
        yield [mismatch for table in _COMPARED for mismatch in await self._unknown_columns(table)]
        yield [
            Mismatch(user=str(row["user_id"]), table="users", field="", should="a row")
            for row in await self._pool.fetch(_USERS_WITHOUT_ROW)
        ]
        last = UUID(int=0)
        while ids := [row["id"] for row in await self._pool.fetch(_USER_IDS, last, PAGE)]:
            yield await self.of_users(ids)
            last = ids[-1]

    async def _unknown_columns(self, table: str) -> list[Mismatch]:
        columns = {row["attname"] for row in await self._pool.fetch(_COLUMNS, table)}
        return [
            Mismatch(
                user="", table=table, field=column, found="a column that this code does not compare"
            )
            for column in sorted(columns - _COMPARED[table])
        ]

    async def of_users(self, ids: Collection[UUID]) -> list[Mismatch]:
        """Returns the mismatches of these users, as of one moment."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            users = await connection.fetch(_USERS, ids)
            orders = await connection.fetch(_ORDERS, ids)
            events = await connection.fetch(_EVENTS, ids)
        histories: dict[UUID, list[Envelope]] = {}
        for row in events:
            histories.setdefault(row["user_id"], []).append(envelope_from_row(row))
        orders_by_user: dict[UUID, list[asyncpg.Record]] = {}
        for row in orders:
            orders_by_user.setdefault(row["user_id"], []).append(row)
        return [
            mismatch
            for row in users
            for mismatch in _compare(
                row, orders_by_user.get(row["id"], []), histories.get(row["id"], [])
            )
        ]


def _compare(
    row: asyncpg.Record, orders: list[asyncpg.Record], events: list[Envelope]
) -> Iterator[Mismatch]:
    user = User(id=UserId(row["id"]))
    for envelope in events:
        if envelope.version != user.version + 1:
            yield _mismatch(user, "events", f"version {user.version + 1}", "an event", None)
            return
        try:
            user = evolve(user, envelope.event(), envelope.occurred_at)
        except (Undecodable, KeyError) as error:
            found = f"unreadable ({type(error).__name__})"
            yield _mismatch(user, "events", f"version {envelope.version}", "an event", found)
            return
    if user.erased_at is not None:
        yield from _personal_data(user, events)
    actual = {**row, "secret": row["secret"] is not None}
    yield from _compare_fields(user, "users", "", _expected_user(user, row["email_key"]), actual)
    rows = {order["id"]: dict(order) for order in orders}
    for order_id in user.orders.keys() | rows.keys():
        order = user.orders.get(order_id)
        expected = {} if order is None else {**msgspec.structs.asdict(order), "user_id": user.id}
        yield from _compare_fields(user, "orders", f"{order_id} ", expected, rows.get(order_id, {}))


def _personal_data(user: User, events: list[Envelope]) -> Iterator[Mismatch]:
    """Yields the personal data that is left in the events of an erased user."""
    for envelope in events:
        data = msgspec.json.decode(envelope.data, type=dict[str, Any])
        for field in PERSONAL_FIELDS:
            if data.get(field):
                name = f"version {envelope.version} {field}"
                yield _mismatch(user, "events", name, "", data[field])


def _compare_fields(
    user: User, table: str, prefix: str, expected: dict[str, Any], actual: dict[str, Any]
) -> Iterator[Mismatch]:
    for field in expected.keys() or actual.keys():
        if expected.get(field) != actual.get(field):
            name = f"{prefix}{field}"
            yield _mismatch(user, table, name, expected.get(field), actual.get(field))


def _mismatch(user: User, table: str, field: str, should: Any, found: Any) -> Mismatch:
    return Mismatch(user=str(user.id), table=table, field=field, should=should, found=found)


def _expected_user(user: User, actual_key: str | None) -> dict[str, Any]:
    key = email_key(user.email)
    suffixed = suffixed_key(key, user.id)  # that of the younger of two users with one address
    row = msgspec.structs.asdict(user)
    del row["orders"]
    row["email_key"] = None if user.erased_at else suffixed if actual_key == suffixed else key
    row["secret"] = user.erased_at is None  # whether there is one: events do not contain it
    return row


_COMPARED = {
    "users": set(_expected_user(User(id=UserId(UUID(int=0))), None)),
    "orders": {*Order.__struct_fields__, "user_id"},
}
"""The columns of each table that are compared."""
