"""The stream's door: entries and cursor move together, from the cursor that was read, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from api.runtime import drivers
from readside.generations.registry import Generations
from readside.redis_functions.functions import VERSION, GenerationGone
from readside.redis_functions.keys import Keys, Partition
from readside.redis_functions.stream import RedisStream
from tests.readside.memory_log import Append

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from api.settings import Settings

FIRST = Partition(0)


@pytest.fixture
async def stream(settings: Settings) -> AsyncIterator[RedisStream]:
    """As the relay has it: bytes, no retry."""
    async with drivers.redis_for_relay(settings) as redis:
        yield RedisStream(redis)


def append(expected: bytes, cursor: bytes, *entries: bytes, partition: int = 0) -> Append:
    return Append(partition=partition, expected=expected, cursor=cursor, entries=list(entries))


async def entries(redis: Redis, partition: int = 0) -> list[str]:
    found: Any = await redis.xrange(Partition(partition).stream)
    return [fields["e"] for _, fields in found]


async def test_a_partition_without_a_stream_has_no_cursor(stream: RedisStream) -> None:
    await stream.reset(1, None, b"c")
    assert await stream.cursors([0, 1]) == [None, b"c"]


async def test_entries_are_appended_in_order_and_the_cursor_moves_with_them(
    stream: RedisStream, redis: Redis
) -> None:
    await stream.reset(0, None, b"c0")
    assert await stream.append([append(b"c0", b"c1", b"one", b"two")]) == [True]
    assert await stream.append([append(b"c1", b"c2", b"three")]) == [True]
    assert await entries(redis) == ["one", "two", "three"]
    assert await stream.cursors([0]) == [b"c2"]


async def test_a_stale_cursor_appends_nothing(stream: RedisStream, redis: Redis) -> None:
    await stream.reset(0, None, b"c0")
    await stream.append([append(b"c0", b"c1", b"one")])
    assert await stream.append([append(b"c0", b"c1", b"one")]) == [False]
    assert await entries(redis) == ["one"]
    assert await stream.cursors([0]) == [b"c1"]


async def test_without_a_cursor_nothing_is_appended(stream: RedisStream, redis: Redis) -> None:
    assert await stream.append([append(b"c0", b"c1", b"one")]) == [False]
    assert await redis.exists(FIRST.stream, FIRST.cursor) == 0


async def test_of_two_relays_with_the_same_entries_one_appends_them(
    stream: RedisStream, redis: Redis
) -> None:
    await stream.reset(0, None, b"c0")
    same = [append(b"c0", b"c1", b"one")]
    done = await asyncio.gather(stream.append(same), stream.append(same))
    assert sorted(done) == [[False], [True]]
    assert await entries(redis) == ["one"]


async def test_each_partition_has_its_own_reply(stream: RedisStream, redis: Redis) -> None:
    await stream.reset(0, None, b"a")
    await stream.reset(1, None, b"b")
    asked = [append(b"stale", b"x", b"one"), append(b"b", b"c", b"two", partition=1)]
    assert await stream.append(asked) == [False, True]
    assert (await entries(redis, 0), await entries(redis, 1)) == ([], ["two"])


async def test_a_cursor_of_any_bytes_is_kept_as_it_is(stream: RedisStream) -> None:
    odd = bytes(range(256))
    await stream.reset(0, None, odd)
    assert await stream.append([append(odd, b"c1", b"one")]) == [True]


async def live(redis: Redis, fingerprint: str = "f") -> Keys:
    """A generation that serves readers of this fingerprint."""
    generations = Generations(redis, FIRST, fingerprint)
    keys = await generations.create("projector")
    assert keys is not None
    assert await generations.activate(keys)
    return keys


async def test_a_reset_empties_the_stream_and_voids_every_generation(
    stream: RedisStream, redis: Redis
) -> None:
    await stream.reset(0, None, b"c0")
    old, older = await live(redis), await live(redis, "another")
    await stream.append([append(b"c0", b"c1", b"one")])
    await stream.reset(0, b"c1", b"c2")
    assert await entries(redis) == []
    assert await stream.cursors([0]) == [b"c2"]
    assert await redis.hgetall(FIRST.generations) == {
        old.generation: "void",
        older.generation: "void",
    }
    assert await Generations(redis, FIRST, "f").active() is None


async def test_a_void_generation_is_not_activated(stream: RedisStream, redis: Redis) -> None:
    await stream.reset(0, None, b"c0")
    keys = await live(redis)
    await stream.reset(0, b"c0", b"c1")
    with pytest.raises(GenerationGone):
        await Generations(redis, FIRST, "f").activate(keys)
    assert await Generations(redis, FIRST, "f").active() is None


async def test_a_reset_from_another_cursor_changes_nothing(
    stream: RedisStream, redis: Redis
) -> None:
    await stream.reset(0, None, b"c0")
    keys = await live(redis)
    await stream.append([append(b"c0", b"c1", b"one")])
    await stream.reset(0, None, b"mine")
    await stream.reset(0, b"c0", b"mine")
    assert await entries(redis) == ["one"]
    assert await stream.cursors([0]) == [b"c1"]
    assert await Generations(redis, FIRST, "f").active() == keys


async def test_a_reset_of_one_partition_leaves_the_others_alone(
    stream: RedisStream, redis: Redis
) -> None:
    await stream.reset(0, None, b"a")
    keys = await live(redis)
    await stream.reset(1, None, b"b")
    assert await Generations(redis, FIRST, "f").active() == keys


async def test_nothing_is_built_before_a_relay_has_created_the_stream(redis: Redis) -> None:
    assert await Generations(redis, FIRST, "f").create("projector") is None
    assert await redis.exists(FIRST.stream, FIRST.generations) == 0


async def test_lost_functions_are_loaded_again(stream: RedisStream, redis: Redis) -> None:
    await stream.reset(0, None, b"c0")
    await redis.function_flush()
    assert await stream.append([append(b"c0", b"c1", b"one")]) == [True]
    await redis.function_flush()
    assert await Generations(redis, FIRST, "f").create("projector") is not None
    assert await entries(redis) == ["one"]


async def test_functions_lost_for_many_concurrent_calls_are_loaded_again(
    stream: RedisStream, redis: Redis
) -> None:
    for partition in (0, 1):
        await stream.reset(partition, None, b"c0")
    await redis.function_flush()
    asked = [append(b"c0", b"c1", b"one", partition=partition) for partition in (0, 1)]
    assert await stream.append(asked) == [True, True]


async def test_functions_of_another_version_of_the_code_stay(
    stream: RedisStream, redis: Redis
) -> None:
    other = "#!lua name=tandem_other\nredis.register_function('append_other', function() end)"
    await redis.function_load(other)
    await stream.reset(0, None, b"c0")
    names = str(await redis.function_list())
    assert "tandem_other" in names
    assert f"tandem_{VERSION}" in names
