"""A real service keeps every promise, and whatever is then changed by hand in its stores is found."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from api.settings import Settings
from readside.redis_functions.keys import ACTIVE_PREFIX, Keys, Partition
from readside.sorted_index import number_key
from tests.acceptance.service import Client, running
from tests.chaos.checker import check
from tests.chaos.evidence import Evidence, behind, fingerprint, gather
from tests.chaos.history import Called, History, Row, Seen
from tests.limited import limited
from tests.stores import PARTITIONS

STEPS = 200
USERS = 12

ROW = "id version name email createdAt updatedAt orderCount lifetimeValue"
QUERIES: dict[Any, str] = {
    "user": f"query($id: ID!, $minVersion: Int) {{ user(id: $id, minVersion: $minVersion) {{ {ROW} }} }}",
    "userByEmail": f"query($email: EmailAddress!) {{ userByEmail(email: $email) {{ {ROW} }} }}",
    "users": f"query($first: Int!) {{ users(first: $first) {{ nodes {{ {ROW} }} }} }}",
    "topCustomers": f"query($first: Int!) {{ topCustomers(first: $first) {{ {ROW} }} }}",
}


class Recorder:
    """A client whose calls and answers are recorded."""

    def __init__(self, client: Client, history: History) -> None:
        self._client = client
        self._history = history
        self._numbers = itertools.count(1)

    async def command(self, command: str, key: str | None = None, **given: Any) -> Called:
        kind = f"{command[0].upper()}{command[1:]}Input"
        text = (
            f"mutation($input: {kind}!) {{ {command}(input: $input)"
            " { id version errors { ... on CommandError { code } } } }"
        )
        keyed = given if key is None else {**given, "idempotencyKey": key}
        number, started = next(self._numbers), time.monotonic()
        answer = (await self._client.data(text, input=keyed))[command]
        code = answer["errors"][0]["code"] if answer["errors"] else None
        called = Called(
            client="c",
            number=number,
            command=command,
            input=given,
            key=key,
            started=started,
            ended=time.monotonic(),
            outcome="ok" if code is None else "fail",
            id=answer["id"],
            version=answer["version"],
            code=code,
        )
        self._history.calls.append(called)
        return called

    async def query(self, query: Any, **arguments: Any) -> None:
        number, started = next(self._numbers), time.monotonic()
        found = (await self._client.data(QUERIES[query], **arguments))[query]
        found = found["nodes"] if query == "users" else found
        rows = found if isinstance(found, list) else [found] if found else []
        self._history.reads.append(
            Seen(
                client="c",
                number=number,
                query=query,
                arguments=arguments,
                started=started,
                ended=time.monotonic(),
                rows=msgspec.convert(rows, list[Row]),
            )
        )


async def work(recorder: Recorder, random: Random) -> None:
    """A mix of everything, two attempts of some commands among it."""
    versions: dict[str, int] = {}
    orders: list[str] = []

    async def carry_out(number: int) -> None:
        if len(versions) < USERS:
            email = f"User{number}@example.com"
            await note("createUser", number, name=f"User {number}", email=email)
            return
        user = random.choice(list(versions))
        kinds = ["renameUser", "updateUserEmail", "placeOrder", "placeOrder", "close", "eraseUser"]
        match random.choices(kinds, [20, 10, 20, 20, 30, 6])[0]:
            case "renameUser":
                await note("renameUser", number, userId=user, name=f"Name {number // 2}")
            case "updateUserEmail":
                email = f"mail{number // 2}@example.com"
                await note("updateUserEmail", number, userId=user, email=email)
            case "placeOrder":
                await note("placeOrder", number, userId=user, total=f"{number}.{number % 100:02}")
            case "eraseUser":
                await note("eraseUser", number, userId=user)
            case _ if orders:
                command = random.choice(["completeOrder", "completeOrder", "cancelOrder"])
                await note(command, number, orderId=random.choice(orders))

    async def note(command: str, number: int, **given: Any) -> None:
        key = random.choice([None, f"key {number}"])
        called = await recorder.command(command, key, **given)
        if key is not None and random.random() < 0.2:
            await recorder.command(command, key, **given)
        if called.outcome == "fail" or called.id is None or called.version is None:
            return
        user = called.id if command == "createUser" else given.get("userId")
        if command == "placeOrder":
            orders.append(called.id)
        if user is not None:
            versions[user] = max(versions.get(user, 0), called.version)
        if command == "eraseUser":
            del versions[given["userId"]]

    for number in range(STEPS):
        await carry_out(number)
        user = random.choice(list(versions))
        await recorder.query("user", id=user, minVersion=versions[user])
        await recorder.query("user", id=user)
        await recorder.query("userByEmail", email=f"user{random.randrange(USERS)}@example.com")
        await recorder.query(random.choice(["users", "topCustomers"]), first=random.randint(1, 20))


class Ended:
    """A service that was left in peace, and what its client saw."""

    def __init__(
        self, settings: Settings, history: History, postgres: asyncpg.Connection, redis: Redis
    ) -> None:
        self.postgres = postgres
        self.redis = redis
        self._history = history
        self._settings = settings

    async def evidence(self) -> Evidence:
        urls = str(self._settings.database_url), str(self._settings.redis_url)
        return await gather(*urls, PARTITIONS)

    async def broken(self) -> set[str]:
        found = check(self._history, await self.evidence())
        return {violation.rule for violation in found}

    async def customer(self) -> tuple[Keys, str]:
        """A user with completed orders, and the keys that hold it."""
        for number in range(PARTITIONS):
            pointer = f"{ACTIVE_PREFIX}{fingerprint(PARTITIONS)}"
            name: Any = await self.redis.hget(Partition(number).generations, pointer)
            keys = Keys(Partition(number), name)
            found: Any = await self.redis.zrange(
                keys.shared_key("lifetime-values"),
                "+",
                f"[{number_key(1)}",
                bylex=True,
                desc=True,
                offset=0,
                num=1,
            )
            if found:
                return keys, found[0].partition("\t")[2]
        raise AssertionError("nobody has completed an order")

    @asynccontextmanager
    async def unchanged_afterwards(self) -> AsyncIterator[None]:
        """What is changed inside is as it was behind it."""
        names = [name async for name in self.redis.scan_iter()]
        async with Redis.from_url(str(self._settings.redis_url)) as raw:
            dumps = {name: await raw.dump(name) for name in names}
            yield
            await raw.flushdb()
            for name, dump in dumps.items():
                assert dump is not None
                await raw.restore(name, 0, dump)
        for table in ("events", "commands", "orders", "users"):
            await self.postgres.execute(f"delete from {table}")
        for table in ("users", "orders", "commands", "events"):
            await self.postgres.execute(
                f"insert into {table} overriding system value select * from {table}_before"
            )


@pytest.fixture
async def ended(database_url: str, redis_url: str) -> AsyncIterator[Ended]:
    settings = Settings(
        database_url=database_url, redis_url=redis_url, partitions=PARTITIONS, read_timeout=20.0
    )
    history = History()
    async with running(settings) as client:
        await work(Recorder(client, history), Random(1))
        async with limited(20):
            while await behind(database_url, redis_url, PARTITIONS) is not None:
                await asyncio.sleep(0.01)
    postgres = await asyncpg.connect(database_url)
    try:
        async with Redis.from_url(redis_url, decode_responses=True) as redis:
            for table in ("users", "orders", "commands", "events"):
                await postgres.execute(f"create table {table}_before as table {table}")
            yield Ended(settings, history, postgres, redis)
    finally:
        await postgres.close()


Damage = Callable[[Ended], Awaitable[object]]


def sql(statement: str) -> Damage:
    return lambda ended: ended.postgres.execute(statement)


async def lose_a_member(ended: Ended) -> None:
    keys, user = await ended.customer()
    await ended.redis.zrem(keys.index("users"), user)


async def count_an_order_twice(ended: Ended) -> None:
    keys, user = await ended.customer()
    await ended.redis.hincrby(keys.document("user", user), "lifetimeValue", 1)


async def lose_an_index(ended: Ended) -> None:
    keys, _ = await ended.customer()
    await ended.redis.delete(keys.shared_key("emails"))


async def add_a_stray_key(ended: Ended) -> None:
    await ended.redis.set(f"{Partition(0).prefix}:1a1-dead:users", "1")


async def leave_an_entry_unread(ended: Ended) -> None:
    await ended.redis.xadd(Partition(0).stream, {"e": "?"})


async def set_somebody_aside(ended: Ended) -> None:
    keys, user = await ended.customer()
    await ended.redis.hset(keys.parked, user, "why")


async def serve_nothing(ended: Ended) -> None:
    await ended.redis.delete(Partition(0).generations)


LAST = "(select max(position) from events where type = 'OrderPlaced')"
DOUBLE = """
    alter table events drop constraint events_user_version;
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select partition, user_id, version, type, schema, data, metadata, occurred_at
    from events where position = (select max(position) from events where type = 'OrderPlaced');
"""
AGAIN = """
    insert into events (partition, user_id, version, type, schema, data, metadata, occurred_at)
    select partition, user_id, 1 + (select max(version) from events where user_id = e.user_id),
           type, schema, data, metadata, occurred_at
    from events e where type = 'UserRenamed' and data ->> 'name' <> '' order by position limit 1;
"""

DAMAGE: list[tuple[str, Damage]] = [
    ("read-model-is-the-fold", lose_a_member),
    ("read-model-is-the-fold", count_an_order_twice),
    ("read-model-is-the-fold", lose_an_index),
    ("read-model-is-the-fold", serve_nothing),
    ("no-orphans", add_a_stray_key),
    ("no-orphans", serve_nothing),
    ("all-acknowledged", leave_an_entry_unread),
    ("nobody-parked", set_somebody_aside),
    ("acknowledged-once", sql(f"delete from events where position = {LAST}")),
    ("versions-without-hole", sql("delete from events where version = 1")),
    ("versions-without-hole", sql(DOUBLE)),
    ("nothing-twice", sql(AGAIN)),
    ("command-rows", sql("delete from commands")),
    ("same-answer", sql("update commands set version = version + 1")),
    ("tables-are-the-fold", sql("update orders set status = 'OPEN' where status = 'COMPLETED'")),
    ("tables-are-the-fold", sql("update users set version = version + 1")),
    ("erased-is-forgotten", sql('update events set data = data || \'{"name": "Ann"}\'')),
    ("read-is-a-prefix", sql("update events set occurred_at = occurred_at + interval '1 s'")),
]


async def test_a_service_breaks_no_rule_and_what_is_changed_behind_its_back_is_found(
    ended: Ended,
) -> None:
    assert await ended.broken() == set()
    for rule, damage in DAMAGE:
        async with ended.unchanged_afterwards():
            await damage(ended)
            found = await ended.broken()
            assert rule in found, f"{rule} is not among {found}"
    assert await ended.broken() == set()


async def test_the_run_has_everything_that_the_rules_are_about(ended: Ended) -> None:
    evidence = await ended.evidence()
    assert {event.type for event in evidence.events} == {
        "UserCreated",
        "UserRenamed",
        "UserEmailUpdated",
        "UserErased",
        "OrderPlaced",
        "OrderCompleted",
        "OrderCancelled",
    }
    assert 0 < len(evidence.commands) < len(evidence.events)
