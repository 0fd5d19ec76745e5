"""The keys of e-mail addresses that were stored under older rules: renewed in small transactions.

The key was the address in lower case; `email_key` says what it is today. Of two users whose addresses are one
now, the older keeps the key, and the key of the younger has its id behind it, which no address can have. Both
can be read, renamed, erased, and change their address. A later pass gives the younger a key that is free.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg
import msgspec

from domain.users.events import email_key

PAGE = 500
"""Users in one transaction."""

_TRIES = 20
"""Attempts for one user."""

# As the index of migration 0004 has it: all others have the same key under both rules.
_TO_COMPARE = """
    select id, email, email_key from users
    where (octet_length(email) <> char_length(email) or email_key like '% %') and id > $1 order by id limit $2
"""

# A command that has changed the address meanwhile has written the key that goes with it.
_RENEW = """
    update users u set email_key = g.key
    from unnest($1::uuid[], $2::text[], $3::text[]) as g (id, email, key)
    where u.id = g.id and u.email = g.email
"""

_BOTH = """
    select id, email, email_key, created_at from users where id = $1 or email_key = $2 order by id for update
"""

_SHARED = """
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
    """Two users whose addresses are one address today."""

    address: str
    """Masked, as logs may hold it."""
    holder: UUID
    """The older one, which has the key."""
    other: UUID


async def renew(connection: asyncpg.Connection) -> list[SharedAddress]:
    """Renews the keys that older code has written, and returns all users that share an address.

    Interrupted, it is simply executed again. Raises what asyncpg raises.
    """
    last = UUID(int=0)
    while rows := await connection.fetch(_TO_COMPARE, last, PAGE):
        old = [row for row in rows if row["email_key"] != email_key(row["email"])]
        await _renew(connection, [row for row in old if " " not in row["email_key"]])
        for row in old:
            if " " in row["email_key"]:  # the key may be free by now
                await _persistently(connection, row)
        last = rows[-1]["id"]
    return [
        SharedAddress(address=masked(row["email"]), holder=row["holder"], other=row["other"])
        for row in await connection.fetch(_SHARED)
    ]


async def _renew(connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> None:
    """Renews these keys at once, or one by one where that conflicts with anything."""
    try:
        await connection.execute(
            _RENEW,
            [row["id"] for row in rows],
            [row["email"] for row in rows],
            [email_key(row["email"]) for row in rows],
        )
    except _CONFLICT:
        for row in rows:
            await _persistently(connection, row)


async def _persistently(connection: asyncpg.Connection, row: asyncpg.Record) -> None:
    """Tries again while commands take and free the same keys."""
    for attempt in range(1, _TRIES + 1):
        try:
            async with connection.transaction():
                await _renew_one(connection, row["id"], row["email"])
        except _CONFLICT:
            if attempt == _TRIES:
                raise
        else:
            return


async def _renew_one(connection: asyncpg.Connection, user_id: UUID, email: str) -> None:
    """Gives the key to the older of the users that may have it, and a key of its own to the other."""
    key = email_key(email)
    rows = await connection.fetch(_BOTH, user_id, key)
    if not any(row["id"] == user_id and row["email"] == email for row in rows):
        return  # erased, or another address, meanwhile
    holder, *others = sorted(rows, key=lambda row: (row["created_at"], row["id"]))
    for row in (*others, holder):  # first whoever may have to give it up
        new = key if row is holder else beside(email_key(row["email"]), row["id"])
        if row["email_key"] != new:
            await connection.execute(
                "update users set email_key = $2 where id = $1", row["id"], new
            )


def beside(key: str, user_id: UUID) -> str:
    """Returns the key of a user whose address another user has, too. No address holds a space."""
    return f"{key} {user_id}"


def masked(address: str) -> str:
    """Returns an address of whose local part only the first character is left."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}***{at}{domain}"
