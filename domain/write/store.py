"""The store carries out commands. Nothing else writes rows and events.

A command costs one statement to read (none for a create) and one to write, which concurrent creates share.
The write checks the version that the decision was made on: if another command was faster, it writes nothing
and the decision is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from time import perf_counter
from uuid import UUID

import asyncpg
import msgspec
import structlog

from domain.aggregate_contract import AggregateState
from domain.command import ByChild, ById, Command, CommandResult, New
from domain.envelope import partition_of
from domain.event import DomainEvent
from domain.ids import new_id
from domain.log import positions
from domain.refusal import Refusal
from domain.write import rows, sql
from domain.write.database import NOT_WRITTEN, WriteDatabase, WriteModelUnavailable
from domain.write.group_commit import GroupCommit

_REJECTED = "The write model takes no events now and nothing was written; try again later."

_LOG_INTERVAL_SECONDS = 60.0
"""Seconds between two log entries about the same fault of the database."""

Measure = Callable[[str, str, float], None]
"""Called with the name of a command, `accepted`, its refusal or its failure, and its duration in seconds."""

_log = structlog.get_logger(__name__)


class Store:
    """Carries out commands. Calls `wake` with the partition of the events right after COMMIT."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        partitions: int,
        now: Callable[[], datetime],
        wake: Callable[[int], None],
        measure: Measure | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        """`timeout_seconds`: how long to wait for a connection, and to repeat what PostgreSQL rolls back."""
        self._database = WriteDatabase(pool, timeout_seconds=timeout_seconds)
        self._group_commit = GroupCommit(self._database)
        self._timeout_seconds = timeout_seconds
        self._partitions = partitions
        self._now = now
        self._wake = wake
        self._measure = measure
        self._next_log_at = 0.0

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str] | None = None
    ) -> CommandResult | Refusal:
        """Carries out the command, once per idempotency key. Raises WriteModelUnavailable.

        The events have `metadata`, and: command, commandId, causationId (what caused them: this command), and
        correlationId (the same for all that one request causes; by default the commandId).
        """
        started_at, outcome = perf_counter(), "failed"
        try:
            result = await self._execute(command, metadata or {})
            outcome = type(result).__name__ if isinstance(result, Refusal) else "accepted"
        except WriteModelUnavailable:
            outcome = "unavailable"
            raise
        finally:
            if self._measure is not None:
                self._measure(type(command).__name__, outcome, perf_counter() - started_at)
        return result

    async def _execute(
        self, command: Command, metadata: Mapping[str, str]
    ) -> CommandResult | Refusal:
        """Repeats the attempt until no concurrent command is faster, or the time is over."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_seconds
        is_first, reconnected = True, False
        while True:
            try:
                result = await self._attempt(command, metadata, is_first=is_first)
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
                # Rolled back as a whole: it is safe to retry, and to stop.
                if clock() > deadline:
                    raise WriteModelUnavailable(NOT_WRITTEN) from error
            except asyncpg.ReadOnlySQLTransactionError as error:
                # Nothing was written and the connections are expired: another host may be the primary now.
                if reconnected:
                    raise WriteModelUnavailable(NOT_WRITTEN) from error
                reconnected = True
            else:
                if result is not None:
                    return result
            is_first = False

    async def _attempt(
        self, command: Command, metadata: Mapping[str, str], *, is_first: bool
    ) -> CommandResult | Refusal | None:
        """Returns None if a concurrent command was faster."""
        state, stored = await self._load(command, is_first=is_first)
        if stored is not None:
            return stored
        decision = command.decide(state)
        if isinstance(decision, Refusal):
            return decision
        try:
            return await self._write(command, state, decision, metadata)
        except asyncpg.UniqueViolationError as violation:
            return await self._explain_unique_violation(command, violation)

    async def _load(
        self, command: Command, *, is_first: bool
    ) -> tuple[AggregateState, CommandResult | Refusal | None]:
        """Returns the state, and the stored result of the idempotency key."""
        target = command.target
        if is_first and isinstance(target, New):
            # The id is new, and an index checks the key.
            return command.aggregate.new(target.id), None
        row = await self._read(command, target.id)
        state = rows.state_from_row(row, command.aggregate, target)
        return state, rows.stored_result(row, command)

    async def _read(self, command: Command, target_id: UUID | None) -> asyncpg.Record:
        target = command.target
        field = target.field if isinstance(target, ByChild) else None
        children = target.children if isinstance(target, ById) else ()
        statement = rows.load_statement(command.aggregate, field, children)
        key = rows.key_digest(command.idempotency_key)
        [row] = await self._database.read(statement, target_id, key)
        return row

    async def _write(
        self,
        command: Command,
        before: AggregateState,
        events: Sequence[DomainEvent],
        metadata: Mapping[str, str],
    ) -> CommandResult | None:
        """Returns None if the aggregate has changed since it was loaded."""
        aggregate, now, after = command.aggregate, self._now(), before
        for event in events:
            after = aggregate.after(after, event, now)
        result = CommandResult(id=command.result_id, aggregate_id=before.id, version=after.version)
        if not events:
            if command.idempotency_key:
                statement = sql.build_store_result(command, before, result, now)
                return result if await self._database.write(*statement) else None
            return result
        name = type(command).__name__
        command_id = metadata.get("commandId") or str(new_id())
        ids = {"commandId": command_id, "correlationId": command_id, "causationId": command_id}
        encoded = msgspec.json.encode({"command": name, **ids, **metadata}).decode()
        partition = partition_of(before.id, self._partitions)
        children = sql.changed_children(aggregate, before, after)
        write = sql.Write(command, before, after, events, encoded, partition, *children)
        if not await self._group_commit.write(write):
            return None
        self._wake(partition)
        _log.debug(
            "command.executed", command=name, aggregate_id=str(before.id), version=result.version
        )
        return result

    async def _explain_unique_violation(
        self, command: Command, violation: asyncpg.UniqueViolationError
    ) -> CommandResult | Refusal | None:
        """Returns the result or the refusal that a unique index implies; None if a retry finds out."""
        row = await self._read(command, None)
        if (stored := rows.stored_result(row, command)) is not None:
            return stored
        constraint = violation.constraint_name or ""
        if (refusal := command.aggregate.refusals.get(constraint)) is not None:
            return refusal()  # type: ignore[call-arg]  # its message has a default
        match constraint:
            case "commands_pkey":
                return None  # the transaction that had the key has just rolled back
            case "events_pkey":
                await self._log_positions()
                raise WriteModelUnavailable(_REJECTED) from violation
            case _ if constraint == f"{command.aggregate.table}_pkey":
                return None  # this create was written before: the retry reads it
            case _:
                raise violation

    async def _log_positions(self) -> None:
        """Logs why positions are taken, at most once a minute; a client can only retry, for a higher one."""
        now = asyncio.get_running_loop().time()
        if now < self._next_log_at:
            return
        self._next_log_at = now + _LOG_INTERVAL_SECONDS
        with suppress(
            WriteModelUnavailable,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            positions.UnreadableSequence,
        ):
            fault = await positions.find_fault(self._database.read)
            _log.error("store.positions_taken", todo=fault)
