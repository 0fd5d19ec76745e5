"""The one door for writing: a command goes in, rows and events are written together, an answer comes out.

A command costs one statement to read (none for a creation) and one to write; creations that come together
share it. The write is guarded by the version that the decision was made on: if somebody else was faster it
writes nothing, and we decide anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from domain.command import Command, CommandResult
from domain.connection_pool import ConnectionPool, is_lost
from domain.envelope import partition_of
from domain.ids import new_id
from domain.log import positions
from domain.refusal import Refusal
from domain.users.commands import OrderCommand, UserCommand
from domain.users.commands.create_user import CreateUser
from domain.users.events import Event, UserId
from domain.users.refusals import EmailAlreadyRegistered
from domain.users.state import User, evolve
from domain.write import rows, sql
from domain.write.group_commit import GroupCommit

NO_USER = UserId(UUID(int=0))
"""The user of an order that does not exist."""

UNAVAILABLE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdowns, and statements cancelled by their time limit
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidTransactionStateError,  # read-only, or ended by the server for its time
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # a database that is closed to connections,
    asyncpg.InsufficientPrivilegeError,  # or whose rights are not granted again yet
    asyncpg.TargetServerAttributeNotMatched,  # what answers is a standby
    asyncpg.UndefinedTableError,  # a dump is being restored,
    asyncpg.UndefinedColumnError,  # or a schema is being made again,
    asyncpg.InternalServerError,  # and a table was dropped under the statement
)
"""What asyncpg raises when PostgreSQL is away, restarting, full, locked, or not the one that takes writes."""


_log = structlog.get_logger(__name__)


class WriteModelUnavailable(Exception):
    """PostgreSQL did not answer in time; str() says to a client what that means for its command."""


_LOG_INTERVAL_SECONDS = 60.0
"""Seconds between two reports of the same fault of the database."""

_NOT_WRITTEN = "The write model cannot be reached and nothing was written; try again."
_REJECTED = "The write model takes no events now and nothing was written; try again later."
_UNKNOWN = (
    "The write model stopped answering, so it is not known whether the command was carried out;"
    " send it again with the same idempotencyKey."
)


class Store:
    """Carries out commands. `wake` is called with the partition of every event right after COMMIT."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        partitions: int,
        now: Callable[[], datetime],
        wake: Callable[[int], None],
        patience: float = 5.0,
    ) -> None:
        """`patience`: seconds to wait for a free connection, and to repeat what PostgreSQL rolls back."""
        self._connections = ConnectionPool(pool, timeout_seconds=patience)
        self._creations = GroupCommit(self._create)
        self._patience = patience
        self._partitions = partitions
        self._now = now
        self._wake = wake
        self._silent_until = 0.0

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str] | None = None
    ) -> CommandResult | Refusal:
        """Carries the command out, once per idempotency key. Raises WriteModelUnavailable."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._patience
        first, elsewhere = True, False
        while True:
            try:
                answer = await self._attempt(command, metadata or {}, first=first)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
                # Rolled back as a whole: trying again is safe, and so is giving up.
                if clock() > give_up:
                    raise WriteModelUnavailable(_NOT_WRITTEN) from error
            except asyncpg.ReadOnlySQLTransactionError as error:
                # Nothing was written, and its connections are expired: another host may take writes.
                if elsewhere:
                    raise WriteModelUnavailable(_NOT_WRITTEN) from error
                elsewhere = True
            else:
                if answer is not None:
                    return answer
            first = False

    async def _attempt(
        self, command: Command, metadata: Mapping[str, str], *, first: bool
    ) -> CommandResult | Refusal | None:
        """What the command comes to, or None if somebody else was faster."""
        user, earlier = await self._load(command, first=first)
        if earlier is not None:
            return earlier
        decision = command.decide(user)
        if isinstance(decision, Refusal):
            return decision
        try:
            return await self._write(command, user, decision, metadata)
        except asyncpg.UniqueViolationError as violation:
            return await self._unique(command, violation)

    async def _load(
        self, command: Command, *, first: bool
    ) -> tuple[User, CommandResult | Refusal | None]:
        """The user as the command finds it, and the answer its key had before."""
        key = command.idempotency_key
        match command:
            case CreateUser(user_id=user_id) if first:
                return rows.unknown(user_id), None  # the id is new; its key is checked by the index
            case CreateUser(user_id=user_id) | UserCommand(user_id=user_id):
                row = await self._read(user_id, None, key)
                return rows.user_in(row, user_id), rows.earlier_in(row, command)
            case OrderCommand(order_id=order_id):
                row = await self._read(None, order_id, key)
                return rows.user_in(row, NO_USER), rows.earlier_in(row, command)
            case _:
                raise TypeError(f"{type(command).__name__} says neither its user nor its order")

    async def _write(
        self, command: Command, user: User, events: Sequence[Event], metadata: Mapping[str, str]
    ) -> CommandResult | None:
        """The answer, or None if the user has changed since it was loaded."""
        now = self._now()
        after = user
        for event in events:
            after = evolve(after, event, now)
        answer = CommandResult(id=command.target_id, user_id=user.id, version=after.version)
        if not events:
            return await self._remember(command, user, answer, now)
        write = rows.to_write(
            command,
            user,
            after,
            events,
            metadata=_named(command, metadata),
            partitions=self._partitions,
            now=now,
        )
        together = not write.before and await self._creations.write(write)
        if not together and not await self._written(write):
            return None
        self._wake(partition_of(user.id, self._partitions))
        facts = {
            "command": type(command).__name__,
            "user_id": str(user.id),
            "version": answer.version,
        }
        _log.debug("command.carried_out", **facts)
        return answer

    async def _create(self, writes: Sequence[rows.Write]) -> Collection[object]:
        """The ids of those of these users whom it has created."""
        if len(writes) == 1:
            return [write.user_id for write in writes if await self._written(write)]
        try:
            arguments = rows.to_create_many(writes)
            created = await self._fetch(_UNKNOWN, sql.CREATE_MANY, *arguments)
        except WriteModelUnavailable as error:
            if isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                return ()
            raise
        except asyncpg.ReadOnlySQLTransactionError:
            raise  # which concerns all of them
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            return ()  # rolled back as a whole, because of one of them
        return {row["user_id"] for row in created}

    async def _written(self, write: rows.Write) -> bool:
        """Whether the user was still in the version that was decided on."""
        return bool(await self._fetch(_UNKNOWN, write.statement, *write.arguments))

    async def _remember(
        self, command: Command, user: User, answer: CommandResult, now: datetime
    ) -> CommandResult | None:
        """Stores the result of a command that changed nothing, so that its key is taken.

        Returns None if the user has changed since it was loaded: also by a restored dump.
        """
        if command.idempotency_key:
            arguments = rows.to_remember(command, user, answer, now)
            if not await self._fetch(_UNKNOWN, sql.REMEMBER, *arguments):
                return None
        return answer

    async def _unique(
        self, command: Command, violation: asyncpg.UniqueViolationError
    ) -> CommandResult | Refusal | None:
        """Which rule was hit: this key was answered before, or the e-mail address is taken."""
        row = await self._read(None, None, command.idempotency_key)
        if (earlier := rows.earlier_in(row, command)) is not None:
            return earlier
        match violation.constraint_name:
            case "users_email_key":
                return EmailAlreadyRegistered()
            case "commands_pkey":
                return None  # whoever held the key has just rolled back: try again
            case "users_pkey":
                return None  # the very same creation once more: it is read now
            case "events_pkey":
                await self._report_positions()
                raise WriteModelUnavailable(_REJECTED) from violation
            case _:
                raise violation

    async def _report_positions(self) -> None:
        """Logs why the position of an event is taken and what to do, at most once a minute.

        A client can do nothing but retry: the sequence draws a higher position each time.
        """
        now = asyncio.get_running_loop().time()
        if now < self._silent_until:
            return
        self._silent_until = now + _LOG_INTERVAL_SECONDS
        with suppress(
            *UNAVAILABLE_ERRORS,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            positions.UnreadableSequence,
        ):
            fault = await positions.fault(self._connections.fetch)
            _log.error("store.positions_taken", todo=fault)

    async def _read(
        self, user_id: UUID | None, order_id: UUID | None, key: str | None
    ) -> asyncpg.Record:
        arguments = user_id, order_id, rows.key_digest(key)
        [row] = await self._fetch(_NOT_WRITTEN, sql.LOAD, *arguments)
        return row

    async def _fetch(
        self, when_away: str, statement: str, *arguments: object
    ) -> list[asyncpg.Record]:
        try:
            connection = await self._connections.acquire()
        except (*UNAVAILABLE_ERRORS, asyncpg.InterfaceError) as error:
            raise WriteModelUnavailable(_NOT_WRITTEN) from error
        sound = False
        try:
            found = await connection.fetch(statement, *arguments)
            if when_away is _NOT_WRITTEN:  # else it is committed, wherever that was
                await self._connections.require_writable(connection)
            sound = True
        except asyncpg.ReadOnlySQLTransactionError:
            await self._connections.expire()
            raise
        except asyncpg.InterfaceError as error:
            # A killed backend surfaces as this, but so does a mistake in our own call.
            if not is_lost(connection):
                raise
            raise WriteModelUnavailable(when_away) from error
        except asyncpg.InternalClientError as error:
            # The server has said goodbye to this connection, whose end has not arrived yet.
            connection.terminate()
            raise WriteModelUnavailable(when_away) from error
        except UNAVAILABLE_ERRORS as error:
            said = _NOT_WRITTEN if _is_rolled_back(error) else when_away
            raise WriteModelUnavailable(said) from error
        finally:
            await self._connections.release(connection, sound=sound)
        return found


def _is_rolled_back(error: BaseException) -> bool:
    """Whether PostgreSQL itself has reported that it rolled the statement back.

    It reports an ERROR only before the commit record is written: behind that it would be a PANIC, and a
    replication that does not confirm is a WARNING. A FATAL (57P01: an administrator ends the backend) may
    come between COMMIT and its reply. Class 08 is a pooler that lost its server; old ones call that an ERROR.
    """
    severity = getattr(error, "severity_en", None)  # which only PostgreSQL sends
    return severity == "ERROR" and not isinstance(error, asyncpg.PostgresConnectionError)


def _named(command: Command, metadata: Mapping[str, str]) -> dict[str, str]:
    """What is kept beside an event: which command it is of, in words and by an id."""
    named = {"command": type(command).__name__, **metadata}
    if "commandId" not in named:
        named["commandId"] = str(new_id())
    return named
