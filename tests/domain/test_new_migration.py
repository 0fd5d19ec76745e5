"""`make migration` writes the columns of fields that the tables do not have yet."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from domain.event import Personal
from domain.users.aggregate import USER
from domain.users.state import User
from tests.domain.new_migration import added_columns
from tests.domain.test_tables import test_the_migrations_create_what_an_aggregate_declares as check

if TYPE_CHECKING:
    from tests.domain.write_model import WriteModel


class UserOfLater(User, frozen=True, kw_only=True):
    pronoun: Personal[str] = "it's"
    end: int = 7
    is_known: bool = False
    called_at: datetime | None = None


async def test_the_migration_of_new_fields_is_derived(model: WriteModel) -> None:
    later = msgspec.structs.replace(USER, state=UserOfLater)
    async with model.pool.acquire() as connection:
        assert await added_columns(connection, USER) == []  # type: ignore[arg-type]
        statements = await added_columns(connection, later)  # type: ignore[arg-type]
    assert statements == [
        "alter table users add column pronoun text not null default 'it''s';\n",
        'alter table users add column "end" bigint not null default 7;\n',
        "alter table users add column is_known boolean not null default false;\n",
        "alter table users add column called_at timestamptz;\n",
    ]
    await model.user()
    await model.pool.execute("".join(statements))
    await check(model, later)
