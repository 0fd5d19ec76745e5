"""Migrates the keys of e-mail addresses that older code stored, in small transactions.

The key used to be the address in lower case; today `email_key` computes it. If two users' addresses now
have the same key, the older user keeps it, and the key of the younger gets that user's id as a suffix, which
no address can have. Both can be read, renamed and erased, and can change their address. A later pass gives
the younger user the key once it is free.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg
import msgspec

from domain.aggregate_contract import suffixed_key
from domain.users.events import email_key

PAGE = 500
"""Users per transaction."""

_TRIES = 20
"""Attempts per user."""

# The condition of the index of migration 0004: all other users have the same key under both rules.
_USERS_TO_CHECK = """
    select id, email, email_key from users
    where (octet_length(email) <> char_length(email) or email_key like '% %') and id > $1 order by id limit $2
"""

# A command that changes the address meanwhile writes the right key itself.
_UPDATE_KEYS = """
    update users u set email_key = g.key
    from unnest($1::uuid[], $2::text[], $3::text[]) as g (id, email, key)
    where u.id = g.id and u.email = g.email
"""

_LOCK_USERS_OF_KEY = """
    select id, email, email_key, created_at from users where id = $1 or email_key = $2 order by id for update
"""

_SHARED_ADDRESSES = """
    select holder.id as holder, other.id as other, other.email
    from users other join users holder on holder.email_key = split_part(other.email_key, ' ', 1)
    where other.email_key like '% %' order by other.id
"""

_CONFLICT = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class SharedAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Two users whose e-mail addresses have the same key."""

    address: str
    """Masked, so that it may be logged."""
    holder: UUID
    """The older user, who has the key."""
    other: UUID


async def migrate_email_keys(connection: asyncpg.Connection) -> list[SharedAddress]:
    """Updates the keys that older code has written, and returns all users who share an address.

    Can be repeated after an interruption. Raises what asyncpg raises.
    """
    last = UUID(int=0)
    while rows := await connection.fetch(_USERS_TO_CHECK, last, PAGE):
        outdated = [row for row in rows if row["email_key"] != email_key(row["email"])]
        await _update_keys(connection, [row for row in outdated if " " not in row["email_key"]])
        for row in outdated:
            if " " in row["email_key"]:  # the key may be free by now
                await _resolve_with_retries(connection, row)
        last = rows[-1]["id"]
    return [
        SharedAddress(address=mask_email(row["email"]), holder=row["holder"], other=row["other"])
        for row in await connection.fetch(_SHARED_ADDRESSES)
    ]


async def _update_keys(connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> None:
    """Updates the keys in one statement, or one by one if that conflicts."""
    try:
        await connection.execute(
            _UPDATE_KEYS,
            [row["id"] for row in rows],
            [row["email"] for row in rows],
            [email_key(row["email"]) for row in rows],
        )
    except _CONFLICT:
        for row in rows:
            await _resolve_with_retries(connection, row)


async def _resolve_with_retries(connection: asyncpg.Connection, row: asyncpg.Record) -> None:
    """Retries while concurrent commands take and free the same keys."""
    for attempt in range(1, _TRIES + 1):
        try:
            async with connection.transaction():
                await _resolve(connection, row["id"], row["email"])
        except _CONFLICT:
            if attempt == _TRIES:
                raise
        else:
            return


async def _resolve(connection: asyncpg.Connection, user_id: UUID, email: str) -> None:
    """Gives the key to the oldest user who may have it, and a key with a suffix to the others."""
    key = email_key(email)
    rows = await connection.fetch(_LOCK_USERS_OF_KEY, user_id, key)
    if not any(row["id"] == user_id and row["email"] == email for row in rows):
        return  # the user was erased or has changed the address meanwhile
    holder, *others = sorted(rows, key=lambda row: (row["created_at"], row["id"]))
    for row in (*others, holder):  # the holder last: another user may have to free the key first
        new = key if row is holder else suffixed_key(email_key(row["email"]), row["id"])
        if row["email_key"] != new:
            await connection.execute(
                "update users set email_key = $2 where id = $1", row["id"], new
            )


def mask_email(address: str) -> str:
    """Returns the address with only the first character of its local part."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}***{at}{domain}"
