"""Faults that befall single answers of Redis, seen by the real driver and by a bare connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.chaos.proxy import Proxy, proxy
from tests.chaos.raw_connection import PING, bare, command
from tests.limited import limited

LIBRARY = """#!lua name=lib
redis.register_function('append_1', function(keys) return redis.call('INCR', keys[1]) end)
redis.register_function('apply_1', function(keys) return redis.call('INCR', keys[1]) end)
"""


@pytest.fixture
async def past(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
async def wire(redis_url: str) -> AsyncIterator[Proxy]:
    async with proxy(redis_url) as wire:
        yield wire


@pytest.fixture(params=[2, 3])
async def through(wire: Proxy, request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    async with Redis.from_url(wire.url, retry=None, protocol=request.param) as redis:
        await redis.ping()
        yield redis


async def counted(redis: Redis) -> int:
    return int(await redis.incr("n"))


async def test_a_swallowed_command_is_carried_out_and_its_client_gets_an_error(
    wire: Proxy, through: Redis, past: Redis
) -> None:
    fault = wire.swallow_next("INCRBY n")
    await through.incr("other")
    assert not fault.fired.is_set()
    with pytest.raises(RedisConnectionError):
        await counted(through)
    assert fault.fired.is_set()
    assert await past.get("n") == b"1"
    assert await counted(through) == 2


async def test_a_function_is_known_by_its_name(wire: Proxy, through: Redis, past: Redis) -> None:
    await past.function_load(LIBRARY)
    fault = wire.swallow_next("FCALL append_")
    assert await through.fcall("apply_1", 1, "n") == 1
    assert not fault.fired.is_set()
    with pytest.raises(RedisConnectionError):
        await through.fcall("append_1", 1, "n")
    assert fault.fired.is_set()
    assert await past.get("n") == b"2"
    assert (wire.asked["FCALL apply_1"], wire.asked["FCALL append_1"]) == (1, 1)


async def test_of_a_pipeline_the_answers_before_the_swallowed_one_arrive(
    wire: Proxy, past: Redis
) -> None:
    wire.swallow_next("INCR b")
    async with bare(wire.url) as (reader, writer):
        writer.write(b"".join(command(b"INCR", key) for key in (b"a", b"b", b"c")))
        assert await reader.read() == b":1\r\n"
    assert await past.mget("a", "b", "c") == [b"1", b"1", b"1"]


async def test_a_driver_whose_pipeline_lost_an_answer_takes_none_of_it(
    wire: Proxy, through: Redis, past: Redis
) -> None:
    wire.swallow_next("INCRBY b")
    pipeline = through.pipeline(transaction=False)
    for key in ("a", "b", "c"):
        pipeline.incr(key)
    with pytest.raises(RedisConnectionError):
        await pipeline.execute()
    assert await past.mget("a", "b", "c") == [b"1", b"1", b"1"]


async def test_a_long_answer_is_swallowed_from_its_first_byte_on(wire: Proxy, past: Redis) -> None:
    await past.set("long", b"x" * 3_000_000)
    wire.swallow_next("GET")
    async with bare(wire.url) as (reader, writer):
        writer.write(PING + command(b"GET", b"long"))
        assert await reader.read() == b"+PONG\r\n"


async def test_of_a_truncated_answer_half_arrives(wire: Proxy) -> None:
    fault = wire.truncate_next("ECHO")
    async with bare(wire.url) as (reader, writer):
        writer.write(PING + command(b"ECHO", b"123456") + PING)
        assert await reader.read() == b"+PONG\r\n$6\r\n12"
    assert fault.fired.is_set()


@pytest.mark.parametrize("protocol", [2, 3])
async def test_an_answer_cut_at_any_byte_is_an_error_and_never_another_value(
    wire: Proxy, past: Redis, protocol: int
) -> None:
    await past.hset("h", mapping={"a": "1", "b": "22", "c": ""})
    size = 0
    answers: list[Any] = []
    async with Redis.from_url(wire.url, retry=None, protocol=protocol) as redis:
        while len(answers) < 3:
            await redis.ping()
            wire.cut_after(size)
            pipeline = redis.pipeline(transaction=False)
            pipeline.mget("a", "b")
            pipeline.hgetall("h")
            pipeline.ping()
            try:
                answers.append(await pipeline.execute())
            except RedisConnectionError:
                assert not answers
            wire.heal()
            size += 1
    assert answers == [[[None, None], {b"a": b"1", b"b": b"22", b"c": b""}, True]] * 3
    assert size > 40


async def test_a_command_cut_at_any_byte_is_carried_out_only_if_it_was_whole(
    wire: Proxy, past: Redis
) -> None:
    asked = command(b"INCR", b"n")
    for size in range(len(asked) + 1):
        async with bare(wire.url) as (reader, writer):
            writer.write(PING)
            await reader.readline()
            fault = wire.cut_after(size, "requests")
            writer.write(asked)
            await reader.read()
            assert fault.fired.is_set()
        await until_alone(past)
        assert await past.get("n") == (b"1" if size == len(asked) else None)


async def until_alone(past: Redis) -> None:
    """Returns once the server has done with everybody else."""
    async with limited(10):
        while len(await past.client_list(_type="normal")) > 1:
            pass


async def test_a_held_answer_lets_a_test_stand_behind_the_command_and_before_its_answer(
    wire: Proxy, through: Redis, past: Redis
) -> None:
    held = wire.hold_next("INCRBY n")
    asked = asyncio.create_task(counted(through))
    await held.reached
    assert await past.incr("n") == 2
    assert await through.ping(), "another link is not held"
    assert not asked.done()
    held.release()
    assert await asked == 1
    assert await counted(through) == 3


async def test_a_held_link_may_be_cut(wire: Proxy, through: Redis) -> None:
    held = wire.hold_next("INCRBY n")
    asked = asyncio.create_task(counted(through))
    await held.reached
    wire.cut()
    with pytest.raises(RedisConnectionError):
        await asked
    held.release()
    assert await counted(through) == 2


async def test_a_fault_that_was_armed_in_the_midst_of_an_answer_befalls_the_next(
    wire: Proxy, through: Redis
) -> None:
    held = wire.hold_next("INCRBY n")
    asked = asyncio.create_task(counted(through))
    await held.reached
    fault = wire.swallow_next("INCRBY n")
    held.release()
    assert await asked == 1
    with pytest.raises(RedisConnectionError):
        await counted(through)
    assert fault.fired.is_set()


async def test_each_fault_befalls_one_answer_in_the_order_of_arming(
    wire: Proxy, through: Redis
) -> None:
    first, second = wire.swallow_next("INCR"), wire.swallow_next("INCR")
    for fault in (first, second):
        assert not fault.fired.is_set()
        with pytest.raises(RedisConnectionError):
            await counted(through)
        assert fault.fired.is_set()
    assert await counted(through) == 3


async def test_a_listener_hears_all_and_no_fault_takes_a_message_for_an_answer(
    wire: Proxy, through: Redis, past: Redis
) -> None:
    async with through.pubsub() as pubsub:
        await pubsub.subscribe("a")
        fault = wire.truncate_next()
        for number in range(3):
            await past.publish("a", str(number))
        heard = [await pubsub.get_message(timeout=5) for _ in range(4)]
        assert [message["data"] for message in heard if message] == [1, b"0", b"1", b"2"]
        assert not fault.fired.is_set()
        wire.cut()
        with pytest.raises(RedisConnectionError):
            await pubsub.get_message(timeout=5)


async def test_healed_it_does_nothing_more(wire: Proxy, through: Redis) -> None:
    held = wire.hold_next("INCR")
    asked = asyncio.create_task(counted(through))
    await held.reached
    fault = wire.swallow_next()
    wire.cut_after(0)
    wire.delay(60)
    wire.blackhole()
    wire.heal()
    assert await asked == 1
    assert await counted(through) == 2
    assert not fault.fired.is_set()
