"""Executes the statements of the store, and translates the errors of an unavailable PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from domain.connection_pool import ConnectionPool, is_lost, refuse_read_only

UNAVAILABLE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdowns, and statements cancelled by their time limit
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidTransactionStateError,  # read-only, or ended by the server after its time limit
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # a database that is closed to connections,
    asyncpg.InsufficientPrivilegeError,  # or whose privileges are not granted again yet
    asyncpg.TargetServerAttributeNotMatched,  # the server is a standby
    asyncpg.UndefinedTableError,  # a dump is being restored,
    asyncpg.UndefinedColumnError,  # or a schema is being created again,
    asyncpg.InternalServerError,  # and a table was dropped during the statement
)
"""What asyncpg raises when PostgreSQL is unreachable, restarting, full, locked, or accepts no writes."""

NOT_WRITTEN = "The write model cannot be reached and nothing was written; try again."
_UNKNOWN = (
    "The write model stopped answering, so it is not known whether the command was carried out;"
    " send it again with the same idempotencyKey."
)


class WriteModelUnavailable(Exception):
    """PostgreSQL did not answer in time; str() tells a client whether its command was carried out."""


class WriteDatabase:
    """Reads and writes on the primary.

    Raises WriteModelUnavailable, ReadOnlySQLTransactionError after expiring all connections, and what else
    asyncpg raises.
    """

    def __init__(self, pool: asyncpg.Pool, *, timeout_seconds: float) -> None:
        """`timeout_seconds`: how long to wait for a free connection."""
        self._connections = ConnectionPool(pool, timeout_seconds=timeout_seconds)

    async def read(self, text: str, *arguments: object) -> list[asyncpg.Record]:
        return await self._fetch(text, arguments, writes=False)

    async def write(self, text: str, arguments: Sequence[object]) -> list[asyncpg.Record]:
        return await self._fetch(text, arguments, writes=True)

    async def _fetch(
        self, text: str, arguments: Sequence[object], *, writes: bool
    ) -> list[asyncpg.Record]:
        outcome = _UNKNOWN if writes else NOT_WRITTEN
        try:
            connection = await self._connections.acquire()
        except asyncpg.ReadOnlySQLTransactionError:
            await self._connections.expire()
            raise
        except (*UNAVAILABLE_ERRORS, asyncpg.InterfaceError) as error:
            raise WriteModelUnavailable(NOT_WRITTEN) from error
        sound = False
        try:
            rows = await connection.fetch(text, *arguments)
            if not writes:  # a write is committed, wherever it was
                refuse_read_only(connection)
            sound = True
        except asyncpg.ReadOnlySQLTransactionError:
            await self._connections.expire()
            raise
        except asyncpg.InterfaceError as error:
            # Raised for a killed backend, but also for an error in this code.
            if not is_lost(connection):
                raise
            raise WriteModelUnavailable(outcome) from error
        except asyncpg.InternalClientError as error:
            # The server has ended the session, but the end of the connection has not arrived yet.
            connection.terminate()
            raise WriteModelUnavailable(outcome) from error
        except UNAVAILABLE_ERRORS as error:
            raise WriteModelUnavailable(
                NOT_WRITTEN if _is_rolled_back(error) else outcome
            ) from error
        finally:
            await self._connections.release(connection, sound=sound)
        return rows


def _is_rolled_back(error: BaseException) -> bool:
    """Returns whether PostgreSQL itself has reported that it rolled the statement back.

    It reports an ERROR only before the commit record is written: after that it would be a PANIC, and a
    replication that does not confirm is a WARNING. A FATAL (57P01: an administrator ends the backend) may
    come between COMMIT and its reply. Class 08 is a pooler that lost its server; old ones call that an ERROR.
    """
    severity = getattr(error, "severity_en", None)  # sent by PostgreSQL alone
    return severity == "ERROR" and not isinstance(error, asyncpg.PostgresConnectionError)
