"""PostgreSQL rolls commands back, for serialization or a deadlock: they happen after all, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import chain

import asyncpg
import pytest

from domain.command import CommandResult
from domain.ids import new_id
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import OrderId, UserId
from domain.users.refusals import EmailAlreadyRegistered
from domain.users.values import parse_email
from domain.write.database import WriteModelUnavailable
from tests.chaos.writers import only, write_models
from tests.domain.write_model import WriteModel, create
from tests.limited import limited

# An index that takes its time is filled before the one on e-mails is asked, when the row is changed already.
BETWEEN_ROW_AND_INDEX = """
    create function slowly(text) returns text language plpgsql immutable
        as $$ begin perform pg_sleep(0.02); return $1; end $$;
    create index slow on users (slowly(email));
    alter table users drop constraint users_email_key;
    alter table users add constraint users_email_key unique (email_key);
"""
DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


async def setting(database_url: str, name: str, value: str) -> None:
    """Of every session that begins from now on."""
    connection = await asyncpg.connect(database_url)
    try:
        database = await connection.fetchval("select current_database()")
        await connection.execute(f"alter database {database} set {name} = '{value}'")
    finally:
        await connection.close()


@pytest.fixture(params=["repeatable read", "serializable"])
async def strict(
    database_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[list[WriteModel]]:
    """Write models whose transactions fail where others would wait."""
    await setting(database_url, "default_transaction_isolation", request.param)
    async with write_models(database_url, 4) as models:
        yield models


async def test_commands_that_cannot_be_serialized_are_carried_out_once(
    strict: list[WriteModel],
) -> None:
    user_id = await strict[0].user()

    async def client(number: int) -> list[CommandResult]:
        """Each command twice at once, from two processes, with one key."""
        return [await twice(number, step) for step in range(8)]

    async def twice(number: int, step: int) -> CommandResult:
        answers = await asyncio.gather(
            *[strict[(number + n) % 4].ask(order(user_id, f"{number}/{step}")) for n in (0, 1)]
        )
        assert only(answers)
        return answers[0]

    answers = [*chain(*await asyncio.gather(*map(client, range(8))))]
    assert sorted(answer.version for answer in answers) == list(range(2, 66))
    assert await strict[0].count("commands") == 64
    await strict[0].assert_tables_are_the_fold_of_the_log()


def order(user_id: UserId, key: str | None = None) -> PlaceOrder:
    return PlaceOrder(user_id=user_id, order_id=OrderId(new_id()), total=1, idempotency_key=key)


async def test_creations_that_cannot_be_serialized_are_carried_out_or_refused(
    strict: list[WriteModel],
) -> None:
    answers = await asyncio.gather(
        *[
            strict[n % 4].store.execute(create(f"N{n}", f"n{n % 4}@example.com", f"key {n}"))
            for n in range(32)
        ]
    )
    assert answers.count(EmailAlreadyRegistered()) == 28
    assert await strict[0].count("commands") == await strict[0].count("events") == 4
    await strict[0].assert_tables_are_the_fold_of_the_log()


async def test_swaps_of_emails_that_deadlock_are_answered_and_written_once(
    database_url: str,
) -> None:
    await setting(database_url, "deadlock_timeout", "1ms")
    async with write_models(database_url, 2) as [one, other]:
        alice = await one.user("Alice", "alice@example.com")
        bob = await one.user("Bob", "bob@example.com")
        await one.pool.execute(BETWEEN_ROW_AND_INDEX)
        answers: list[object] = []
        for number in range(10):
            mine, yours = await address_of(one, alice), await address_of(one, bob)
            answers += await asyncio.gather(
                one.store.execute(move(alice, yours, f"alice {number}")),
                other.store.execute(move(bob, mine, f"bob {number}")),
            )
        await until_deadlocks_are_counted(one)
        written = [answer for answer in answers if isinstance(answer, CommandResult)]
        assert answers.count(EmailAlreadyRegistered()) == len(answers) - len(written)
        assert await one.count("commands") == await one.count("events") - 2 == len(written)
        await one.assert_tables_are_the_fold_of_the_log()


async def until_deadlocks_are_counted(model: WriteModel) -> None:
    """Each backend counts its own, and tells at its leisure."""
    async with limited(30):
        while not await model.pool.fetchval(DEADLOCKS):
            await asyncio.sleep(0.02)


async def address_of(model: WriteModel, user_id: UserId) -> str:
    return str(await model.pool.fetchval("select email from users where id = $1", user_id))


def move(user_id: UserId, address: str, key: str) -> UpdateUserEmail:
    return UpdateUserEmail(user_id=user_id, email=parse_email(address), idempotency_key=key)


# What raises what PostgreSQL itself raises, for every event that is written, or every order that is read.
NEVER = """
    create function never() returns boolean language plpgsql as
        $$ begin raise exception 'never' using errcode = '%(code)s'; end $$;
    create function never_write() returns trigger language plpgsql as
        $$ begin perform never(); return new; end $$;
    %(where)s
"""
WRITING = "create trigger never before insert on events execute function never_write()"
WRITES = "drop trigger never on events"
READING = """
    alter table orders rename to all_orders;
    create view orders as select * from all_orders where never();
"""
READS = "drop view orders; alter table all_orders rename to orders"


@pytest.mark.parametrize("code", ["40001", "40P01"], ids=["serialization", "deadlock"])
@pytest.mark.parametrize(
    ("begin", "end"), [(WRITING, WRITES), (READING, READS)], ids=["writing", "reading"]
)
async def test_a_command_that_is_rolled_back_for_ever_is_given_up_and_was_not_written(
    database_url: str, code: str, begin: str, end: str
) -> None:
    async with write_models(database_url, 1) as [model]:
        order_id = await model.order(await model.user())
        await model.pool.execute(NEVER % {"code": code, "where": begin})
        hasty = WriteModel(model.pool, timeout_seconds=0.2)
        command = CompleteOrder(order_id=order_id, idempotency_key="k")
        async with limited(10):
            with pytest.raises(WriteModelUnavailable, match=r"nothing was written"):
                await hasty.store.execute(command)
        await model.pool.execute(end)
        assert await model.count("commands") == 0
        assert (await hasty.ask(command)).version == 3
