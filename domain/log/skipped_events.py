"""Records the events that read models leave out. Not a command: nothing happens to the aggregate.

Stored next to the log, because every read model that is ever built from the log must leave them out.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg

from domain.aggregates import AGGREGATES
from domain.envelope import STORED_ID

_INSERT_SKIPPED = f"""
    insert into skipped ({STORED_ID}, version, reason) values ($1, $2, $3) on conflict do nothing
"""


def can_be_skipped(aggregate: str, event_type: str) -> bool:
    """Returns False for the first and the last event of an aggregate, and if this code does not know them.

    Without them it would be missing from the read models, or present although it is erased.
    """
    known = AGGREGATES.get(aggregate)
    if known is None:
        return False
    return event_type not in {known.event_types[0].__name__, *known.final_types}


async def skip(pool: asyncpg.Pool, aggregate_id: UUID, version: int, reason: str) -> None:
    """Excludes the event from all read models that are built from now on. Cannot be undone."""
    await pool.execute(_INSERT_SKIPPED, aggregate_id, version, reason)
