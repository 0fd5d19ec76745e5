"""Keys that were used before their fingerprints were keyed: they are answered as before, and tell no name."""

from __future__ import annotations

import shutil
from hashlib import sha256
from typing import TYPE_CHECKING

import asyncpg

from api.runtime import drivers
from api.settings import Settings
from domain.ids import new_id
from domain.migrate import DIRECTORY, migrate
from domain.users.events import UserId
from tests.domain.write_model import PARTITIONS, WriteModel, create

if TYPE_CHECKING:
    from pathlib import Path

ALICE, ERASED = UserId(new_id()), UserId(new_id())

USER = """
    insert into users (id, name, email, email_key, version, created_at, updated_at, erased_at)
    values ($1, $2, $3, $4, 1, now(), now(), case when $4::text is null then now() end)
"""
COMMAND = """
    insert into commands (key, fingerprint, id, user_id, version, answered_at)
    values ($1, $2, $3, $3, 1, now())
"""


async def of_older_code(database_url: str, place: Path) -> None:
    """What the code of the first migration left: Alice, and somebody who is erased, each with a key."""
    shutil.copy(DIRECTORY / "0001_write_model.sql", place)
    connection = await asyncpg.connect(database_url)
    try:
        await migrate(connection, PARTITIONS, directory=place)
        await connection.execute(USER, ALICE, "Alice", "alice@example.com", "alice@example.com")
        await connection.execute(USER, ERASED, "", "", None)
        for user_id, name in ((ALICE, "alice"), (ERASED, "erased")):
            fingerprint = sha256(name.encode()).digest()
            await connection.execute(COMMAND, f"{name}@example.com", fingerprint, user_id)
        await migrate(connection, PARTITIONS)
    finally:
        await connection.close()


async def test_they_are_answered_as_before_and_nothing_is_left_to_try_names_on(
    empty_database_url: str, tmp_path: Path
) -> None:
    await of_older_code(empty_database_url, tmp_path)
    async with drivers.database(Settings(database_url=empty_database_url)) as pool:
        model = WriteModel(pool)
        for user_id, name in ((ALICE, "alice"), (ERASED, "erased")):
            again = create(name, f"{name}@example.com", key=f"{name}@example.com")
            assert (await model.ask(again)).aggregate_id == user_id
        dump = await model.dump()
        assert sha256(b"erased").hexdigest() not in dump
        assert "erased@example.com" not in dump
        [alice, erased] = await model.rows(
            "select secret from users order by erased_at nulls first"
        )
        assert alice["secret"] is not None
        assert erased["secret"] is None
