"""The one door for writing: a command goes in, rows and events are written together, an answer comes out.

A command costs one statement to read (none for a creation) and one to write. The write is guarded by the
version that the decision was made on: if somebody else was faster it writes nothing, and we decide anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import msgspec

from domain.command import Command, OrderCommand, UserCommand
from domain.commands.create_user import CreateUser
from domain.events import PERSONAL, Event, UserId, email_key, encode, partition_of
from domain.ids import new_id
from domain.refusals import EmailAlreadyRegistered, IdempotencyKeyReused, Refusal
from domain.user import Order, User, evolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LOAD = """
    select u.*, o.id as order_id, o.status, o.total, o.placed_at, o.closed_at,
           c.fingerprint, c.id as answer_id, c.user_id as answer_user_id, c.version as answer_version
    from (select $1::uuid as user_id, $2::uuid as order_id, $3::text as key) as asked
    left join orders o on o.id = asked.order_id
    left join users u on u.id = coalesce(asked.user_id, o.user_id)
    left join commands c on c.key = asked.key
"""

# Everything a command writes, in one statement, so in one round trip and one transaction. `written` comes
# back empty, and so does everything else, when the user is no longer in the version we decided on ($2).
_WRITE = """
    with written as (
        insert into users as u (id, version, name, email, email_key, created_at, updated_at, erased_at)
        values ($1, $3, $4, $5, $6, $7, $8, $9)
        on conflict (id) do update
            set (version, name, email, email_key, updated_at, erased_at)
              = (excluded.version, excluded.name, excluded.email, excluded.email_key,
                 excluded.updated_at, excluded.erased_at)
            where u.version = $2
        returning id
    ), ordered as (
        insert into orders (id, user_id, status, total, placed_at, closed_at)
        select o.id, w.id, o.status, o.total, o.placed_at, o.closed_at
        from written w, unnest($10::uuid[], $11::text[], $12::bigint[], $13::timestamptz[],
                               $14::timestamptz[]) as o (id, status, total, placed_at, closed_at)
        on conflict (id) do update set (status, closed_at) = (excluded.status, excluded.closed_at)
    ), remembered as (
        insert into commands (key, fingerprint, id, user_id, version, answered_at)
        select $15::text, $16::bytea, $17::uuid, w.id, $3, $8 from written w where $15::text is not null
    ), blanked as (
        update events e
        set data = e.data || (select coalesce(jsonb_object_agg(field, ''), '{}')
                              from jsonb_object_keys(e.data) as field where field = any($18::text[]))
        from written w where $9::timestamptz is not null and e.user_id = w.id
    ), logged as (
        insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
        select $19::smallint, w.id, e.version, e.type, e.schema, e.data::jsonb, $20::text::jsonb, $8
        from written w, unnest($21::int[], $22::text[], $23::smallint[], $24::text[])
             as e (version, type, schema, data)
        order by e.version
    )
    select id from written
"""

_REMEMBER = """
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    values ($1, $2, $3, $4, $5, $6)
"""

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdowns, and statements cancelled by their time limit
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
)


class WriteModelUnavailable(Exception):
    """PostgreSQL did not answer in time; str() says to a client what that means for its command."""


_NOT_WRITTEN = "The write model cannot be reached and nothing was written; try again."
_UNKNOWN = (
    "The write model stopped answering, so it is not known whether the command was carried out;"
    " send it again with the same idempotencyKey."
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A command was carried out."""

    id: UUID
    """What was created or changed: a user or an order."""
    user_id: UserId
    version: int
    """The user's version after the command: what to ask the read model for."""


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
        """`patience`: seconds to wait for a free connection."""
        self._pool = pool
        self._patience = patience
        self._partitions = partitions
        self._now = now
        self._wake = wake

    async def execute(
        self, command: Command, *, metadata: Mapping[str, str] | None = None
    ) -> Answer | Refusal:
        """Carries the command out, once per idempotency key. Raises WriteModelUnavailable."""
        while True:
            user, earlier = await self._load(command)
            if earlier is not None:
                return earlier
            decision = command.decide(user)
            if isinstance(decision, Refusal):
                return decision
            try:
                answer = await self._write(command, user, decision, metadata or {})
            except asyncpg.UniqueViolationError as violation:
                refusal = await self._unique(command, violation)
                if refusal is not None:
                    return refusal
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                continue  # rolled back as a whole, so trying again is safe
            else:
                if answer is not None:
                    return answer

    async def _load(self, command: Command) -> tuple[User, Answer | Refusal | None]:
        match command:
            case CreateUser(user_id=user_id):
                return User(id=user_id), None  # its key is checked by the index when it is written
            case UserCommand(user_id=user_id):
                row = await self._read(user_id, None, command.idempotency_key)
            case OrderCommand(order_id=order_id):
                row = await self._read(None, order_id, command.idempotency_key)
            case _:
                raise TypeError(f"{type(command).__name__} says neither its user nor its order")
        return _user(row, command), _earlier(row, command)

    async def _write(
        self, command: Command, user: User, events: Sequence[Event], metadata: Mapping[str, str]
    ) -> Answer | None:
        """The answer, or None if the user has changed since it was loaded."""
        now = self._now()
        after = user
        for event in events:
            after = evolve(after, event, now)
        answer = Answer(id=_subject(command), user_id=user.id, version=after.version)
        if not events:
            return await self._remember(command, answer, now)
        row = await self._fetch(
            _UNKNOWN, _WRITE, *self._arguments(command, user, after, events, metadata, now)
        )
        if row is None:
            return None
        self._wake(partition_of(user.id, self._partitions))
        return answer

    def _arguments(
        self,
        command: Command,
        before: User,
        after: User,
        events: Sequence[Event],
        metadata: Mapping[str, str],
        now: datetime,
    ) -> tuple[object, ...]:
        orders = [order for order in after.orders.values() if before.orders.get(order.id) != order]
        encoded = [encode(event) for event in events]
        key = command.idempotency_key
        return (
            after.id,
            before.version,
            after.version,
            after.name,
            after.email,
            None if after.erased_at else email_key(after.email),
            after.created_at,
            now,
            after.erased_at,
            [order.id for order in orders],
            [order.status for order in orders],
            [order.total for order in orders],
            [order.placed_at for order in orders],
            [order.closed_at for order in orders],
            key,
            command.fingerprint() if key else None,
            _subject(command),
            PERSONAL,
            partition_of(after.id, self._partitions),
            _json({"command": type(command).__name__, "commandId": str(new_id()), **metadata}),
            [before.version + number for number in range(1, len(events) + 1)],
            [tag for tag, _, _ in encoded],
            [schema for _, schema, _ in encoded],
            [data for _, _, data in encoded],
        )

    async def _remember(self, command: Command, answer: Answer, now: datetime) -> Answer:
        """Nothing had to change; the answer is kept all the same, so that its key is taken."""
        if key := command.idempotency_key:
            fingerprint = command.fingerprint()
            await self._fetch(
                _UNKNOWN,
                _REMEMBER,
                key,
                fingerprint,
                answer.id,
                answer.user_id,
                answer.version,
                now,
            )
        return answer

    async def _unique(
        self, command: Command, violation: asyncpg.UniqueViolationError
    ) -> Answer | Refusal | None:
        """Which rule was hit: this key was answered before, or the e-mail address is taken."""
        row = await self._read(None, None, command.idempotency_key)
        if (earlier := _earlier(row, command)) is not None:
            return earlier
        match violation.constraint_name:
            case "users_email_key":
                return EmailAlreadyRegistered()
            case "commands_pkey":
                return None  # whoever held the key has just rolled back: try again
            case _:
                raise violation

    async def _read(
        self, user_id: UUID | None, order_id: UUID | None, key: str | None
    ) -> asyncpg.Record:
        row = await self._fetch(_NOT_WRITTEN, _LOAD, user_id, order_id, key)
        assert row is not None  # the left joins always give one row
        return row

    async def _fetch(
        self, when_away: str, statement: str, *arguments: object
    ) -> asyncpg.Record | None:
        try:
            connection = await self._pool.acquire(timeout=self._patience)
        except (*_AWAY, asyncpg.InterfaceError) as error:
            raise WriteModelUnavailable(_NOT_WRITTEN) from error
        try:
            return await connection.fetchrow(statement, *arguments)
        except asyncpg.InterfaceError as error:
            # A killed backend surfaces as this, but so does a mistake in our own call.
            if not connection.is_closed():
                raise
            raise WriteModelUnavailable(when_away) from error
        except _AWAY as error:
            raise WriteModelUnavailable(when_away) from error
        finally:
            await self._pool.release(connection)


def _subject(command: Command) -> UUID:
    """What the command creates or changes: its order, or else its user."""
    return getattr(command, "order_id", None) or command.user_id  # type: ignore[attr-defined,no-any-return]


def _user(row: asyncpg.Record, command: Command) -> User:
    if row["id"] is None:
        return User(id=getattr(command, "user_id", UserId(UUID(int=0))))
    return User(
        id=row["id"],
        name=row["name"],
        email=row["email"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        erased_at=row["erased_at"],
        orders={order.id: order for order in _orders(row)},
    )


def _orders(row: asyncpg.Record) -> Iterator[Order]:
    if row["order_id"] is not None:
        yield Order(
            id=row["order_id"],
            status=row["status"],
            total=row["total"],
            placed_at=row["placed_at"],
            closed_at=row["closed_at"],
        )


def _earlier(row: asyncpg.Record, command: Command) -> Answer | Refusal | None:
    """The answer this key had before, if it had one."""
    if row["fingerprint"] is None:
        return None
    if row["fingerprint"] != command.fingerprint():
        return IdempotencyKeyReused()
    return Answer(id=row["answer_id"], user_id=row["answer_user_id"], version=row["answer_version"])


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
