"""The identity of an event log: its UUID, and the server, the database and the table that hold it.

The relay's cursor carries it, so that the streams of one log are never continued from another: of a second
service on the same Redis, of a staging database restored from production, of a log that was made anew.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final
from uuid import UUID

import asyncpg
import msgspec

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

UNKNOWN_SERVER: Final = 0
"""The system identifier where the role may not read it; it is then left out of comparisons."""

_IDENTITY = """
    select (select log from topology) as log,
           (select oid from pg_database where datname = current_database())::bigint as database,
           to_regclass('events')::oid::bigint as table
"""

_SERVER = "select system_identifier from pg_control_system()"

_STILL_THERE = """
    select exists (select from pg_database where oid = $1) as database,
           exists (select from pg_class where oid = $2 and relname = 'events') as table
"""
"""A table that was renamed is the log of no service any more, though it may be kept."""


class LogIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Where a log is, as numbers that PostgreSQL gives out once."""

    log: UUID
    """Made by a migration. A dump carries it, so a restored copy has the same."""
    server: int
    """The system identifier of the data directory. A standby and a copied directory have the same."""
    database: int
    """The object identifier of the database."""
    table: int
    """The object identifier of the table `events`."""


class Relation(Enum):
    """What the log of a cursor is to the log at hand."""

    SAME = "same"
    REPLACED = "replaced"
    """It was in the same server and is not there any more: this log has taken its place."""
    FOREIGN = "foreign"
    """It is, or may be, still there: it belongs to another service, or somebody has to decide."""


class ForeignLog(Exception):
    """The streams in Redis were filled from another log than the one in DATABASE_URL."""

    def __init__(self, carried: LogIdentity, ours: LogIdentity) -> None:
        self.carried = carried
        self.ours = ours
        super().__init__(
            "Redis holds the streams and read models of another event log"
            f" ({_named(carried)}), and DATABASE_URL leads to {_named(ours)}."
            " If two services share this Redis, give each its own REDIS_PREFIX;"
            " if this database has replaced the other one, run `tandem restored --take-over`."
        )


async def log_identity(connection: asyncpg.Connection | PoolConnectionProxy) -> LogIdentity:
    """Reads the identity of the log in this database. Raises what asyncpg raises."""
    row = await connection.fetchrow(_IDENTITY)
    if row is None or row["log"] is None or row["table"] is None:
        raise asyncpg.UndefinedTableError("the tables `topology` and `events` are not there")
    return LogIdentity(**row, server=await _server(connection))


async def _server(connection: asyncpg.Connection | PoolConnectionProxy) -> int:
    try:
        return int(await connection.fetchval(_SERVER))
    except asyncpg.InsufficientPrivilegeError:
        return UNKNOWN_SERVER


async def relation(
    connection: asyncpg.Connection | PoolConnectionProxy,
    carried: LogIdentity | None,
    ours: LogIdentity,
) -> Relation:
    """Compares the identity in a cursor (None: of an earlier version of the code) with that of the log."""
    if carried is None or carried == ours:
        return Relation.SAME
    if UNKNOWN_SERVER not in (carried.server, ours.server) and carried.server != ours.server:
        return Relation.FOREIGN
    there = await connection.fetchrow(_STILL_THERE, carried.database, carried.table)
    assert there is not None
    if carried.database != ours.database:
        return Relation.FOREIGN if there["database"] else Relation.REPLACED
    if carried.table != ours.table and there["table"]:
        return Relation.FOREIGN
    return Relation.SAME if carried.log == ours.log else Relation.REPLACED


def _named(identity: LogIdentity) -> str:
    return f"log {identity.log} of database {identity.database} on server {identity.server}"
