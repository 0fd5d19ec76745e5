"""Blanks the personal data of erased aggregates in the event log, in slices.

The command that erases blanks the row and the first slice of events in its own transaction. If the history is
longer, that transaction also adds the aggregate to `erasures`, and this loop blanks the rest: each
slice is one short statement that locks events of one erased aggregate only. It can be interrupted, and
several processes can run it concurrently. Until the last slice is written, reads of the log blank the data:
READABLE_DATA.
"""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg
import msgspec

from domain.aggregate_contract import Aggregate
from domain.aggregates import AGGREGATES
from domain.envelope import STORED_ID

SLICE: Final = 1_000
"""Events per statement, which takes some 20 ms."""

_PAUSE_SECONDS: Final = 0.01
"""Seconds between two slices, so that commands and vacuum keep up."""


def _blanked(fields: str) -> str:
    # Data that is not an object was written by other software: its content is unknown, so none of it is kept.
    return f"""
        case jsonb_typeof(e.data) when 'object' then e.data || (
            select coalesce(jsonb_object_agg(field, ''), '{{}}')
            from jsonb_object_keys(e.data) as field where field = any({fields}))
        else '{{}}' end
    """


def _fields(aggregate: Aggregate) -> str:
    return f"array{list(aggregate.personal)}::text[]"


def blanked_data(aggregate: Aggregate) -> str:
    """Returns the SQL for the data of an event `e` of an aggregate with its personal fields blanked."""
    return _blanked(_fields(aggregate))


_PERSONAL_FIELDS = " ".join(
    f"when '{aggregate.name}' then {_fields(aggregate)}" for aggregate in AGGREGATES.values()
)
_BLANK: Final = _blanked(f"case e.aggregate {_PERSONAL_FIELDS} end")
"""The data of an event `e` of any aggregate with its personal fields blanked."""

READABLE_DATA: Final = f"""
    case when e.{STORED_ID} in (select {STORED_ID} from erasures) then {_BLANK} else e.data end as data
"""
"""The data of an event `e` for every read of the log: blanked as soon as its aggregate is erased."""

# If two processes take the same slice, one writes it: the other skips the locked row.
_BLANK_NEXT_SLICE = f"""
    with taken as (
        select {STORED_ID} as id, blanked, last from erasures
        order by erased_at, {STORED_ID} limit 1 for update skip locked
    ), slice as (
        update events e set data = {_BLANK} from taken t
        where e.{STORED_ID} = t.id and e.version > t.blanked and e.version <= t.blanked + $1
          and e.data <> {_BLANK}
    ), advanced as (
        update erasures p set blanked = t.blanked + $1 from taken t
        where p.{STORED_ID} = t.id and t.last > t.blanked + $1
    ), finished as (
        delete from erasures p using taken t
        where p.{STORED_ID} = t.id and t.last <= t.blanked + $1
    )
    select count(*) from taken
"""

_PENDING = """
    select count(*)::int as aggregates, coalesce(sum(last - blanked), 0)::bigint as events,
           greatest(0, extract(epoch from clock_timestamp() - min(erased_at)))::float8 as oldest
    from erasures
"""


class PendingErasures(msgspec.Struct, frozen=True, kw_only=True):
    """Erasures of which some events are not blanked yet."""

    aggregates: int = msgspec.field(name="users")
    events: int
    """An upper bound of the events that are not blanked yet."""
    oldest: float
    """Seconds since the first of these aggregates was erased; 0 without such aggregates."""


class Erasures:
    """The loop that finishes erasures. Raises what asyncpg raises."""

    def __init__(
        self, pool: asyncpg.Pool, *, size: int = SLICE, pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        """`size`: events per slice; `pause_seconds`: the pause after each slice."""
        self._pool = pool
        self._size = size
        self._pause_seconds = pause_seconds

    async def run_once(self) -> bool:
        """Blanks one slice; returns whether there was one."""
        taken = await self._pool.fetchval(_BLANK_NEXT_SLICE, self._size)
        if taken:
            await asyncio.sleep(self._pause_seconds)
        return bool(taken)


async def pending_erasures(pool: asyncpg.Pool) -> PendingErasures:
    """Returns what is not blanked yet. Raises what asyncpg raises."""
    row = await pool.fetchrow(_PENDING)
    assert row is not None
    return PendingErasures(**row)
