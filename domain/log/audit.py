"""Audits the write model: do the tables of the aggregates hold what the event log adds up to?

Every column of these tables is compared; a column that this code does not know is a mismatch, and so is
personal data in the events of an erased aggregate. Each page is read in one snapshot, so that concurrent
commits are visible in all tables or in none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.aggregate_contract import Aggregate, AggregateState, suffixed_key
from domain.aggregates import AGGREGATES
from domain.envelope import STORED_ID, Envelope, Undecodable
from domain.log.envelope_rows import ENVELOPE, envelope_from_row

PAGE = 500
"""Aggregates in memory at a time."""

_EVENTS = f"""
    select {ENVELOPE} from events e where {STORED_ID} = any($1::uuid[]) order by {STORED_ID}, version
"""
_UNKNOWN_AGGREGATES = "select distinct aggregate from events where aggregate <> all($1::text[])"
_COLUMNS = """
    select attname from pg_attribute
    where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum
"""


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a table that differs from the event log."""

    aggregate: str
    """The id of the aggregate; empty if the mismatch concerns a whole table."""
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
        yield await self._unknown_aggregates()
        for aggregate in AGGREGATES.values():
            yield await self._unknown_columns(aggregate.table, set(aggregate.root.columns))
            for table in aggregate.child_tables.values():
                yield await self._unknown_columns(table.name, {*table.columns, table.parent})
            yield await self._without_row(aggregate)
            ids = f"select id from {aggregate.table} where id > $1 order by id limit $2"
            last = UUID(int=0)
            while page := [row["id"] for row in await self._pool.fetch(ids, last, PAGE)]:
                yield await self.of(aggregate, page)
                last = page[-1]

    async def of_id(self, aggregate_id: UUID) -> list[Mismatch]:
        """Returns the mismatches of the aggregate with this id, whichever it is."""
        pages = [await self.of(aggregate, [aggregate_id]) for aggregate in AGGREGATES.values()]
        return [mismatch for page in pages for mismatch in page]

    async def _unknown_aggregates(self) -> list[Mismatch]:
        names = await self._pool.fetch(_UNKNOWN_AGGREGATES, list(AGGREGATES))
        return [
            Mismatch(aggregate="", table="events", field="aggregate", found=row["aggregate"])
            for row in names
        ]

    async def _unknown_columns(self, table: str, known: set[str]) -> list[Mismatch]:
        columns = {row["attname"] for row in await self._pool.fetch(_COLUMNS, table)}
        found = "a column that this code does not compare"
        return [
            Mismatch(aggregate="", table=table, field=column, found=found)
            for column in sorted(columns - known)
        ]

    async def _without_row(self, aggregate: Aggregate) -> list[Mismatch]:
        rows = await self._pool.fetch(
            f"""
                select distinct {STORED_ID} as id from events e where e.aggregate = $1
                and not exists (select from {aggregate.table} t where t.id = e.{STORED_ID})
            """,
            aggregate.name,
        )
        return [
            Mismatch(aggregate=str(row["id"]), table=aggregate.table, field="", should="a row")
            for row in rows
        ]

    async def of(self, aggregate: Aggregate, ids: Collection[UUID]) -> list[Mismatch]:
        """Returns the mismatches of these aggregates, as of one moment."""
        tables = aggregate.child_tables.values()
        children: dict[tuple[str, UUID], dict[UUID, dict[str, Any]]] = defaultdict(dict)
        histories: dict[UUID, list[Envelope]] = defaultdict(list)
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            roots = await connection.fetch(
                f"select * from {aggregate.table} where id = any($1::uuid[])", ids
            )
            for table in tables:
                statement = f"select * from {table.name} where {table.parent} = any($1::uuid[])"
                for row in await connection.fetch(statement, ids):
                    children[table.field, row[table.parent]][row["id"]] = dict(row)
            for row in await connection.fetch(_EVENTS, ids):
                histories[row["aggregate_id"]].append(envelope_from_row(row))
        return [
            mismatch
            for row in roots
            for mismatch in _Comparison(
                aggregate,
                dict(row),
                {table.field: children[table.field, row["id"]] for table in tables},
                histories[row["id"]],
            ).mismatches()
        ]


class _Comparison(msgspec.Struct, frozen=True):
    """The rows of one aggregate, and its events."""

    aggregate: Aggregate
    row: dict[str, Any]
    children: dict[str, dict[UUID, dict[str, Any]]]
    """By field of the state, and by id."""
    events: list[Envelope]

    def mismatches(self) -> Iterator[Mismatch]:
        state = self.aggregate.state(id=self.row["id"])
        for envelope in self.events:
            if envelope.version != state.version + 1:
                yield self._mismatch("events", f"version {state.version + 1}", "an event", None)
                return
            try:
                state = self.aggregate.after(state, envelope.event(), envelope.occurred_at)
            except (Undecodable, KeyError) as error:
                found = f"unreadable ({type(error).__name__})"
                yield self._mismatch("events", f"version {envelope.version}", "an event", found)
                return
        if state.erased_at is not None:
            yield from self._personal_data()
        actual = {**self.row, "secret": self.row["secret"] is not None}
        yield from self._fields(
            self.aggregate.table, "", _expected(self.aggregate, state, self.row), actual
        )
        for table in self.aggregate.child_tables.values():
            expected, rows = getattr(state, table.field), self.children[table.field]
            for child_id in expected.keys() | rows.keys():
                child = expected.get(child_id)
                fields: dict[str, Any] = {}
                if child is not None:
                    fields = msgspec.structs.asdict(child) | {table.parent: state.id}
                yield from self._fields(table.name, f"{child_id} ", fields, rows.get(child_id, {}))

    def _personal_data(self) -> Iterator[Mismatch]:
        """Yields the personal data that is left in the events of an erased aggregate."""
        for envelope in self.events:
            data = msgspec.json.decode(envelope.data, type=dict[str, Any])
            for field in self.aggregate.personal:
                if found := data.get(field):
                    where = f"version {envelope.version} {field}"
                    yield self._mismatch("events", where, "", found)

    def _fields(
        self, table: str, prefix: str, expected: dict[str, Any], actual: dict[str, Any]
    ) -> Iterator[Mismatch]:
        for field in expected.keys() or actual.keys():
            should, found = expected.get(field), actual.get(field)
            if should != found:
                yield self._mismatch(table, f"{prefix}{field}", should, found)

    def _mismatch(self, table: str, field: str, should: Any, found: Any) -> Mismatch:
        return Mismatch(
            aggregate=str(self.row["id"]), table=table, field=field, should=should, found=found
        )


def _expected(aggregate: Aggregate, state: AggregateState, row: dict[str, Any]) -> dict[str, Any]:
    root = aggregate.root
    expected: dict[str, Any] = dict(zip(root.columns, root.values(state), strict=True))
    for key in aggregate.unique:
        if key.derive is not None and (value := expected[key.column]) is not None:
            suffixed = suffixed_key(value, state.id)  # that of the younger of two with one value
            expected[key.column] = suffixed if row[key.column] == suffixed else value
    expected["secret"] = state.erased_at is None  # whether there is one: events do not contain it
    return expected
