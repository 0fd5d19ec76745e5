"""Expired connections are replaced before their next use, and no request in flight is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ReadOnlyError

from api.observability.redis_primary import RedisServerInfo, read_server_info
from api.runtime import drivers, redis_address
from api.settings import Settings
from readside.queries.pubsub import PubSub
from readside.redis_connection.connection import MultiplexedConnection
from readside.redis_connection.connection_expiry import ConnectionExpiry
from readside.redis_connection.encoding import pack
from tests.chaos.proxy import proxy
from tests.processes import HOST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.asyncio import Redis

    from tests.chaos.proxy import Proxy

BLOCKED = ("XREADGROUP", "GROUP", "g", "c", "BLOCK", 200, "STREAMS", "{1}s", ">")


@pytest.fixture
def expiry() -> ConnectionExpiry:
    return ConnectionExpiry()


@pytest.fixture
async def wire(redis_url: str) -> AsyncIterator[Proxy]:
    async with proxy(redis_url) as wire:
        yield wire


@pytest.fixture
def through(wire: Proxy) -> Settings:
    return Settings(redis_url=wire.url, read_timeout=10)


@pytest.fixture
async def reads(
    through: Settings, expiry: ConnectionExpiry
) -> AsyncIterator[MultiplexedConnection]:
    async with drivers.connection_for_reads(through, expiry) as link:
        assert isinstance(link, MultiplexedConnection)
        assert await asked(link, 0) == ["0"]
        yield link


@pytest.fixture
async def functions(through: Settings, expiry: ConnectionExpiry) -> AsyncIterator[Redis]:
    async with drivers.redis_for_functions(through, expiry) as redis:
        await redis.ping()
        yield redis


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.005)


async def asked(link: MultiplexedConnection, number: int) -> list[str]:
    return await link.send([pack(("ECHO", str(number)))])


async def test_a_connection_that_expires_under_load_completes_every_request(
    reads: MultiplexedConnection, expiry: ConnectionExpiry
) -> None:
    for round_ in range(3):
        waiting = [asyncio.ensure_future(asked(reads, number)) for number in range(20)]
        await asyncio.sleep(0)
        expiry.expire()
        assert await asked(reads, 99) == ["99"]
        assert await asyncio.gather(*waiting) == [[str(number)] for number in range(20)]
        assert reads.connect_count == round_ + 2


async def test_requests_that_are_not_repeated_are_not_cut_off_by_expiry(
    functions: Redis, expiry: ConnectionExpiry, wire: Proxy
) -> None:
    await functions.xgroup_create("{1}s", "g", mkstream=True)
    read = asyncio.create_task(functions.execute_command(*BLOCKED))  # type: ignore[no-untyped-call]
    await until(lambda: wire.asked["XREADGROUP GROUP"] == 1)
    expiry.expire()
    again = asyncio.create_task(functions.execute_command(*BLOCKED))  # type: ignore[no-untyped-call]
    assert [await read, await again] == [[], []]
    [link] = links(functions)
    assert link.connect_count == 1
    await functions.execute_command(*BLOCKED)  # type: ignore[no-untyped-call]
    assert link.connect_count == 2


def links(redis: Redis) -> list[MultiplexedConnection]:
    return list(vars(vars(redis)["multiplexed"])["_by_tag"].values())


async def test_a_connection_of_a_pool_is_replaced_before_its_next_use(
    functions: Redis, expiry: ConnectionExpiry
) -> None:
    first = await functions.client_id()
    assert await functions.client_id() == first
    expiry.expire()
    second = await functions.client_id()
    assert second != first
    assert await functions.client_id() == second


async def test_subscriptions_are_renewed(
    through: Settings, expiry: ConnectionExpiry, wire: Proxy
) -> None:
    async with (
        drivers.redis_for_pubsub(through, expiry) as listening,
        PubSub(listening, expiry=expiry) as changes,
        changes.subscribe("news") as subscription,
    ):
        assert await subscription.wait(5)  # the subscription itself is news
        old = set(wire.links)
        expiry.expire()
        assert await subscription.wait(5)  # some may have been missed
        assert not old & set(wire.links)


async def written(redis: Redis, by: str) -> None:
    if by == "link":
        await redis.fcall("t", 1, "{1}k")
    elif by == "connection":
        await redis.set("a", "b")
    else:
        pipeline = redis.pipeline(transaction=False)
        pipeline.get("a")
        pipeline.set("a", "b")
        await pipeline.execute()


@pytest.mark.parametrize("by", ["link", "connection", "pipeline"])
async def test_all_connections_leave_a_server_that_became_a_replica(
    functions: Redis, redis: Redis, expiry: ConnectionExpiry, by: str
) -> None:
    await redis.function_load("#!lua name=t\nserver.register_function('t', function() end)")
    await redis.replicaof(HOST, "1")
    try:
        with pytest.raises(ReadOnlyError):
            await written(functions, by)
        assert expiry.count == 1
        with pytest.raises(ReadOnlyError):
            await functions.set("a", "b")
        assert expiry.count == 1, "not again at once"
    finally:
        await redis.replicaof("NO", "ONE")


async def test_a_replica_without_its_primary_expires_the_connection_of_a_query(
    reads: MultiplexedConnection, redis: Redis, expiry: ConnectionExpiry
) -> None:
    await redis.config_set("replica-serve-stale-data", "no")
    await redis.replicaof(HOST, "1")
    try:
        [error] = await reads.send([pack(("GET", "a"))])
        assert str(error).startswith("MASTERDOWN")
        assert expiry.count == 1
    finally:
        await redis.replicaof("NO", "ONE")
        await redis.config_set("replica-serve-stale-data", "yes")


async def test_connections_expire_by_age_though_the_address_leads_to_the_same_server(
    through: Settings, expiry: ConnectionExpiry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_address, "CHECK_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(drivers, "CONNECTION_MAX_AGE_SECONDS", 0.1)
    following = asyncio.create_task(redis_address.follow_address(through, expiry))
    await until(lambda: expiry.count >= 2)
    following.cancel()


async def test_a_user_without_access_to_info_still_sees_mode_and_role(
    through: Settings, redis: Redis
) -> None:
    await redis.execute_command("ACL", "SETUSER", "default", "-info")  # type: ignore[no-untyped-call]
    try:
        async with drivers.redis_for_address_check(through) as looking:
            assert await read_server_info(looking) == RedisServerInfo("standalone", "master")
    finally:
        await redis.execute_command("ACL", "SETUSER", "default", "+info")  # type: ignore[no-untyped-call]
