"""The write model against itself: are the tables of users and orders what the event log adds up to?

Every column of both is compared; one that this code does not know is a finding itself. So is personal data in
the events of an erased user.
Each page is read in one snapshot, so that whatever commits meanwhile is in all three tables or in none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from domain.envelope import Envelope, Undecodable
from domain.log.event_log import ENVELOPE, envelope_in
from domain.users.email_keys import suffixed_key
from domain.users.events import PERSONAL_FIELDS, UserId, email_key
from domain.users.state import Order, User, evolve

if TYPE_CHECKING:
    import asyncpg

PAGE = 500
"""Users in memory at a time."""

_IDS = "select id from users where id > $1 order by id limit $2"
_USERS = "select * from users where id = any($1::uuid[])"
_ORDERS = "select * from orders where user_id = any($1::uuid[])"
_EVENTS = f"""
    select {ENVELOPE} from events e where user_id = any($1::uuid[]) order by user_id, version
"""
_COLUMNS = """
    select attname from pg_attribute
    where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum
"""
_WITHOUT_ROW = """
    select distinct user_id from events e where not exists (select from users u where u.id = e.user_id)
"""


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a table that is not what the log adds up to."""

    user: str
    table: str
    field: str
    should: Any = None
    found: Any = None


class Audit:
    """Looks, and changes nothing. Raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def run(self) -> AsyncIterator[list[Mismatch]]:
        """Everything, page by page."""
        yield [unequal for table in _COMPARED for unequal in await self._columns(table)]
        yield [_without_row(row["user_id"]) for row in await self._pool.fetch(_WITHOUT_ROW)]
        last = UUID(int=0)
        while ids := [row["id"] for row in await self._pool.fetch(_IDS, last, PAGE)]:
            yield await self.of_users(ids)
            last = ids[-1]

    async def _columns(self, table: str) -> list[Mismatch]:
        """The columns of a table that are compared with nothing."""
        found = {row["attname"] for row in await self._pool.fetch(_COLUMNS, table)}
        why = "a column that this code does not compare"
        return [
            Mismatch(user="", table=table, field=column, found=why)
            for column in sorted(found - _COMPARED[table])
        ]

    async def of_users(self, ids: Collection[UUID]) -> list[Mismatch]:
        """These users, as of one moment."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            users = await connection.fetch(_USERS, ids)
            orders = await connection.fetch(_ORDERS, ids)
            events = await connection.fetch(_EVENTS, ids)
        histories: dict[UUID, list[Envelope]] = {}
        for row in events:
            histories.setdefault(row["user_id"], []).append(envelope_in(row))
        found: dict[UUID, list[asyncpg.Record]] = {}
        for row in orders:
            found.setdefault(row["user_id"], []).append(row)
        return [
            unequal
            for row in users
            for unequal in _compared(row, found.get(row["id"], []), histories.get(row["id"], []))
        ]


def _without_row(user_id: UUID) -> Mismatch:
    return Mismatch(user=str(user_id), table="users", field="", should="a row")


def _compared(
    row: asyncpg.Record, orders: list[asyncpg.Record], events: list[Envelope]
) -> Iterator[Mismatch]:
    user = User(id=UserId(row["id"]))
    for envelope in events:
        if envelope.version != user.version + 1:
            yield _unequal(user, "events", f"version {user.version + 1}", "an event", None)
            return
        try:
            user = evolve(user, envelope.event(), envelope.occurred_at)
        except (Undecodable, KeyError) as error:
            why = f"unreadable ({type(error).__name__})"
            yield _unequal(user, "events", f"version {envelope.version}", "an event", why)
            return
    if user.erased_at is not None:
        yield from _remains(user, events)
    kept = {**row, "secret": row["secret"] is not None}
    yield from _differing(user, "users", "", _row_of(user, row["email_key"]), kept)
    rows = {order["id"]: dict(order) for order in orders}
    for order_id in user.orders.keys() | rows.keys():
        should = _row_of_order(user, user.orders[order_id]) if order_id in user.orders else {}
        yield from _differing(user, "orders", f"{order_id} ", should, rows.get(order_id, {}))


def _remains(user: User, events: list[Envelope]) -> Iterator[Mismatch]:
    """What still names a person in the events of an erased user."""
    for envelope in events:
        data = msgspec.json.decode(envelope.data, type=dict[str, Any])
        for field in PERSONAL_FIELDS:
            if data.get(field):
                name = f"version {envelope.version} {field}"
                yield _unequal(user, "events", name, "", data[field])


def _differing(
    user: User, table: str, prefix: str, should: dict[str, Any], found: dict[str, Any]
) -> Iterator[Mismatch]:
    for field in should.keys() or found.keys():
        if should.get(field) != found.get(field):
            name = f"{prefix}{field}"
            yield _unequal(user, table, name, should.get(field), found.get(field))


def _unequal(user: User, table: str, field: str, should: Any, found: Any) -> Mismatch:
    return Mismatch(user=str(user.id), table=table, field=field, should=should, found=found)


def _key(user: User, kept: str | None) -> str:
    """Returns the key of the address, or the one that was kept if that is the user's own beside it."""
    key = email_key(user.email)
    own = suffixed_key(key, user.id)
    return own if kept == own else key


def _row_of(user: User, kept: str | None) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "email_key": None if user.erased_at else _key(user, kept),
        "version": user.version,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "erased_at": user.erased_at,
        "secret": user.erased_at is None,  # whether there is one: no event says what it is
    }


def _row_of_order(user: User, order: Order) -> dict[str, Any]:
    return {**msgspec.structs.asdict(order), "user_id": user.id}


_COMPARED = {
    "users": set(_row_of(User(id=UserId(UUID(int=0))), None)),
    "orders": {*Order.__struct_fields__, "user_id"},
}
"""The columns of each table that are compared."""
