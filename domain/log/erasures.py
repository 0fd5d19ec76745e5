"""Blanking the personal data of erased users in the event log, in slices.

`eraseUser` blanks the user's row and the first slice of events in its own transaction. What a longer history
has beyond that is noted in the table `erasures` in the same transaction and follows here: each slice is one
short statement that locks events of one erased user only. It can be interrupted and run by many processes at
once. Until the last slice every read of the log blanks what is still there: see READ.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from domain.users.events import PERSONAL_FIELDS

if TYPE_CHECKING:
    import asyncpg

SLICE: Final = 1_000
"""Events of one statement: some 20 ms of work."""

_PAUSE: Final = 0.01
"""Seconds between two slices, so that commands and the vacuum keep up."""

# What is not an object was written by other software: nothing is known about it, so nothing of it is kept.
BLANK: Final = f"""
    case jsonb_typeof(e.data) when 'object' then e.data || (
        select coalesce(jsonb_object_agg(field, ''), '{{}}')
        from jsonb_object_keys(e.data) as field where field in {PERSONAL_FIELDS})
    else '{{}}' end
"""
"""The data of an event `e` without what names a person."""

READ: Final = f"""
    case when e.user_id in (select user_id from erasures) then {BLANK} else e.data end as data
"""
"""The data of an event `e` as every reader of the log gets it, also before the last slice is written."""

# A slice that two processes take at once is written by one: the other skips the locked row.
_NEXT_SLICE = f"""
    with taken as (
        select user_id, blanked, last from erasures
        order by erased_at, user_id limit 1 for update skip locked
    ), slice as (
        update events e set data = {BLANK} from taken t
        where e.user_id = t.user_id and e.version > t.blanked and e.version <= t.blanked + $1
          and e.data <> {BLANK}
    ), advanced as (
        update erasures set blanked = t.blanked + $1 from taken t
        where erasures.user_id = t.user_id and t.last > t.blanked + $1
    ), finished as (
        delete from erasures using taken t
        where erasures.user_id = t.user_id and t.last <= t.blanked + $1
    )
    select count(*) from taken
"""

_LEFT = """
    select count(*)::int as users, coalesce(sum(last - blanked), 0)::bigint as events,
           greatest(0, extract(epoch from clock_timestamp() - min(erased_at)))::float8 as oldest
    from erasures
"""


class PendingErasures(msgspec.Struct, frozen=True, kw_only=True):
    """Erasures whose events are not all blanked yet."""

    users: int
    events: int
    """Events that no slice has reached yet, at most."""
    oldest: float
    """Seconds since the first of these users was erased; 0 if there is none."""


class Erasures:
    """The loop that finishes erasures. Raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, *, size: int = SLICE, pause: float = _PAUSE) -> None:
        """`size`: events of a slice; `pause`: seconds behind each slice."""
        self._pool = pool
        self._size = size
        self._pause = pause

    async def run_once(self) -> bool:
        """Blanks one slice; returns whether there was one."""
        taken = await self._pool.fetchval(_NEXT_SLICE, self._size)
        if taken:
            await asyncio.sleep(self._pause)
        return bool(taken)


async def left(pool: asyncpg.Pool) -> PendingErasures:
    """What is still to be blanked. Raises what asyncpg raises."""
    row = await pool.fetchrow(_LEFT)
    assert row is not None
    return PendingErasures(**row)
