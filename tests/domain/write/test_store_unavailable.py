"""PostgreSQL away, gone in mid-command or silent: always WriteModelUnavailable, never a surprise."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.command import CommandResult
from domain.users.commands.rename_user import RenameUser
from domain.write.database import WriteModelUnavailable
from tests.chaos.proxy import Proxy
from tests.domain.write_model import WriteModel, create
from tests.limited import limited

FAIL = """
    create function fail() returns trigger language plpgsql as $$
        begin raise exception 'no' using errcode = '{code}'; end $$;
    create {constraint} trigger fail after insert on events {deferred} for each row execute function fail();
"""


@asynccontextmanager
async def model_on(url: str, seconds: float = 10.0) -> AsyncIterator[WriteModel]:
    settings = Settings(database_url=url, database_connections=4, command_timeout=seconds)
    async with drivers.database(settings) as pool:
        try:
            yield WriteModel(pool)
        finally:
            pool.terminate()


async def test_without_a_server_nothing_is_written_and_the_error_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        url = f"postgresql://tandem@127.0.0.1:{taken.getsockname()[1]}/tandem"
        async with model_on(url) as model:
            with pytest.raises(WriteModelUnavailable, match=r"nothing was written; try again\.$"):
                await model.store.execute(create("Alice", "alice@example.com"))
            assert model.woken == []


async def test_a_store_recovers_by_itself_when_its_connections_were_cut(wire: Proxy) -> None:
    async with model_on(wire.url) as model:
        await model.user()
        wire.cut()
        answers = await asyncio.gather(
            *[model.store.execute(create("B", f"b{n}@example.com")) for n in range(4)],
            return_exceptions=True,
        )
        assert all(isinstance(answer, CommandResult | WriteModelUnavailable) for answer in answers)
        await model.user("Bob", "bob@example.com")


async def test_a_backend_killed_in_mid_command_leaves_the_outcome_unknown(
    model: WriteModel,
) -> None:
    user_id = await model.user()
    before, woken = await model.dump(), len(model.woken)
    async with model.pool.acquire() as slow, slow.transaction():
        await slow.execute("select from users where id = $1 for update", user_id)
        rename = asyncio.create_task(model.ask(RenameUser(user_id=user_id, name="Zoë")))
        pid = await model.waits_for_a_lock()
        await slow.execute("select pg_terminate_backend($1)", pid)
        with pytest.raises(WriteModelUnavailable, match=r"not known .* same idempotencyKey\.$"):
            await rename
    assert await model.dump() == before
    assert len(model.woken) == woken


class Fleeting(asyncpg.Connection):
    """A connection that is lost in the moment it is used."""

    async def fetch(self, *arguments: Any, **options: Any) -> Any:
        self.terminate()
        return await super().fetch(*arguments, **options)


async def test_a_connection_lost_in_the_moment_it_is_used_is_no_surprise(
    database_url: str,
) -> None:
    async with asyncpg.create_pool(database_url, min_size=0, connection_class=Fleeting) as pool:
        with pytest.raises(WriteModelUnavailable):
            await WriteModel(pool).store.execute(create("Alice", "alice@example.com"))


async def test_a_statement_that_is_cancelled_for_its_time_is_no_surprise(model: WriteModel) -> None:
    user_id = await model.user()
    async with model.pool.acquire() as slow, slow.transaction():
        await slow.execute("select from users where id = $1 for update", user_id)
        rename = asyncio.create_task(model.ask(RenameUser(user_id=user_id, name="Zoë")))
        await slow.execute("select pg_cancel_backend($1)", await model.waits_for_a_lock())
        with pytest.raises(WriteModelUnavailable):
            await rename


async def test_a_wire_cut_in_mid_command_leaves_the_outcome_unknown(
    model: WriteModel, wire: Proxy
) -> None:
    user_id = await model.user()
    async with model_on(wire.url) as cut, model.pool.acquire() as slow, slow.transaction():
        await slow.execute("select from users where id = $1 for update", user_id)
        rename = asyncio.create_task(cut.ask(RenameUser(user_id=user_id, name="Zoë")))
        await model.waits_for_a_lock()
        wire.cut()
        with pytest.raises(WriteModelUnavailable, match=r"not known"):
            await rename


async def test_a_server_that_stops_replying_times_out(wire: Proxy) -> None:
    async with model_on(wire.url, seconds=0.2) as model:
        await model.user()
        wire.blackhole("answers")
        with pytest.raises(WriteModelUnavailable, match=r"not known"):
            await model.store.execute(create("Bob", "bob@example.com"))
        assert len(model.woken) == 1


async def test_a_network_that_drops_everything_times_out(wire: Proxy) -> None:
    async with model_on(wire.url, seconds=0.2) as model:
        await model.user()
        wire.blackhole()
        with pytest.raises(WriteModelUnavailable, match=r"not known"):
            await model.store.execute(create("Bob", "bob@example.com"))


async def test_a_server_that_never_replies_times_out(wire: Proxy) -> None:
    wire.blackhole("answers")
    async with model_on(wire.url, seconds=0.2) as model:
        with pytest.raises(WriteModelUnavailable, match=r"nothing was written"):
            await model.store.execute(create("Bob", "bob@example.com"))


async def test_a_command_whose_answer_was_lost_is_answered_when_it_is_sent_again(
    model: WriteModel, wire: Proxy
) -> None:
    async with model_on(wire.url) as cut:
        await cut.ask(create("Warm", "warm@example.com", key="warm"))
        wire.blackhole("answers")
        lost = asyncio.create_task(cut.ask(create("Alice", "alice@example.com", key="k")))
        async with limited(30):
            while await model.count("users") < 2:
                pass
        wire.cut()
        with pytest.raises(WriteModelUnavailable, match=r"not known"):
            await lost
    again = await model.ask(create("Alice", "alice@example.com", key="k"))
    assert again.version == 1
    assert await model.count("users") == await model.count("events") == 2


async def test_a_command_that_finds_no_free_connection_in_time_writes_nothing(
    database_url: str,
) -> None:
    settings = Settings(database_url=database_url, database_connections=2)
    async with drivers.database(settings) as pool, pool.acquire(), pool.acquire():
        hasty = WriteModel(pool, timeout_seconds=0.05)
        with pytest.raises(WriteModelUnavailable, match=r"nothing was written"):
            await hasty.store.execute(create("Alice", "alice@example.com"))


async def test_a_mistake_of_ours_is_not_hidden_as_an_absence(model: WriteModel) -> None:
    await model.pool.execute("alter table events add constraint never check (false)")
    with pytest.raises(asyncpg.CheckViolationError, match="never"):
        await model.store.execute(create("Alice", "alice@example.com"))


async def test_tables_that_are_being_restored_are_unavailable_and_nothing_was_written(
    model: WriteModel,
) -> None:
    await model.pool.execute("alter table events rename to away")
    with pytest.raises(WriteModelUnavailable, match="nothing was written"):
        await model.store.execute(create("Alice", "alice@example.com"))
    await model.pool.execute("alter table away rename to events")
    assert isinstance(
        await model.store.execute(create("Alice", "alice@example.com")), CommandResult
    )


async def test_a_postgresql_that_takes_no_writes_is_unavailable(database_url: str) -> None:
    administrator = await asyncpg.connect(database_url)
    name = await administrator.fetchval("select current_database()")
    await administrator.execute(f"alter database {name} set default_transaction_read_only = on")
    await administrator.close()
    settings = Settings(database_url=database_url)
    async with drivers.database(settings) as pool:
        with pytest.raises(WriteModelUnavailable):
            await WriteModel(pool).ask(create("Alice", "alice@example.com"))


@pytest.mark.parametrize("at_commit", [False, True], ids=["in the statement", "at COMMIT"])
@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("25006", "nothing was written"),
        ("53100", "nothing was written"),  # the disk is full
        ("55P03", "nothing was written"),
        ("57014", "nothing was written"),  # cancelled
        ("58030", "nothing was written"),
        ("08006", "not known"),  # which PostgreSQL says of no statement, and a pooler may
    ],
)
async def test_an_error_that_postgresql_reports_for_the_statement_has_written_nothing(
    model: WriteModel, code: str, meaning: str, at_commit: bool
) -> None:
    user_id = await model.user()
    before = await model.dump()
    constraint, deferred = (
        ("constraint", "deferrable initially deferred") if at_commit else ("", "")
    )
    await model.pool.execute(FAIL.format(code=code, constraint=constraint, deferred=deferred))
    creations = [create("B", f"b{n}@example.com") for n in range(4)]
    told = await asyncio.gather(
        model.store.execute(RenameUser(user_id=user_id, name="Zoe")),
        *map(model.store.execute, creations),
        return_exceptions=True,
    )
    assert [meaning in str(one) for one in told] == [True] * 5
    assert await model.dump() == before
