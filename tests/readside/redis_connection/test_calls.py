"""Calls on multiplexed connections: they raise redis-py's errors and are never repeated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import OutOfMemoryError, ResponseError

from api.runtime import drivers
from readside.redis_functions.functions import Functions
from tests.chaos.proxy import proxy
from tests.limited import limited

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from api.settings import Settings

LEASE = ("lease", ["tandem:{3}:owner:f"], "me", 60_000)


async def names(redis: Redis) -> list[str]:
    return sorted(client["name"] for client in await redis.client_list())


async def waiting(redis: Redis) -> bool:
    return any("b" in client["flags"] for client in await redis.client_list())


async def test_all_calls_to_a_partition_share_one_connection(redis: Redis) -> None:
    functions = Functions(redis)
    await functions.load()
    assert await asyncio.gather(*(functions.call(*LEASE) for _ in range(50))) == [1] * 50
    assert await names(redis) == ["", "tandem-functions"]
    await functions.call("lease", ["tandem:{4}:owner:f"], "me", 60_000)
    assert await names(redis) == ["", "tandem-functions", "tandem-functions"]


async def test_an_error_of_redis_is_raised_as_by_redis_py(redis: Redis) -> None:
    with pytest.raises(ResponseError, match="Function not found"):
        await redis.fcall("nobody", 0)
    await Functions(redis).load()
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            await Functions(redis).call(*LEASE)
    finally:
        await redis.config_set("maxmemory", 0)


async def test_the_error_names_why_the_connection_failed(settings: Settings) -> None:
    wrong = str(settings.redis_url).replace("//", "//:wrong@", 1)
    async with drivers.redis_for_functions(
        settings.model_copy(update={"redis_url": wrong})
    ) as stranger:
        with pytest.raises(Disconnected, match="AUTH"):
            await Functions(stranger).call(*LEASE)


async def test_a_call_whose_reply_is_lost_is_not_repeated(settings: Settings, redis: Redis) -> None:
    await Functions(redis).load()
    async with (
        proxy(str(settings.redis_url)) as wire,
        drivers.redis_for_functions(settings.model_copy(update={"redis_url": wire.url})) as through,
    ):
        functions = Functions(through)
        lost = wire.swallow_next("FCALL lease_")
        with pytest.raises(Disconnected):
            await functions.call(*LEASE)
        assert lost.fired.is_set()
        assert sum(n for asked, n in wire.asked.items() if asked.startswith("FCALL lease_")) == 1
        assert await functions.call(*LEASE) == 1


async def test_redis_gives_nothing_to_a_reader_that_has_gone(redis: Redis, streams: Redis) -> None:
    await redis.xgroup_create("tandem:{3}:stream", "group", mkstream=True)

    async def read(block: int) -> object:
        return await streams.xreadgroup("group", "one", {"tandem:{3}:stream": ">"}, block=block)

    gone = asyncio.create_task(read(4_000))
    async with limited(2):
        while not await waiting(redis):
            await asyncio.sleep(0.01)
        gone.cancel()
        while await waiting(redis):
            await asyncio.sleep(0.01)
    await redis.xadd("tandem:{3}:stream", {"a": "b"})
    assert await read(1)


async def test_an_outage_of_redis_is_recovered_from(settings: Settings, redis: Redis) -> None:
    async with (
        proxy(str(settings.redis_url)) as wire,
        drivers.redis_for_functions(settings.model_copy(update={"redis_url": wire.url})) as through,
    ):
        functions = Functions(through)
        assert await functions.call(*LEASE) == 1
        wire.cut()
        wire.refuse()
        with pytest.raises(Disconnected):
            await functions.call(*LEASE)
        wire.accept()
        async with limited(10):
            while True:
                try:
                    assert await functions.call(*LEASE) == 1
                    break
                except Disconnected:
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_pipeline", [False, True])
async def test_a_connection_that_is_closed_before_a_command_is_written_is_a_lost_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, is_pipeline: bool
) -> None:
    """In uvloop, with which the service runs."""
    send = AbstractConnection.send_packed_command

    async def close_and_send(self: Any, *words: Any, **options: Any) -> None:
        self._writer.transport.abort()
        await asyncio.sleep(0.01)
        await send(self, *words, **options)

    async def ping(client: Redis) -> None:
        if is_pipeline:
            pipeline: Any = client.pipeline(transaction=False)
            await pipeline.ping().execute()
        else:
            await client.ping()

    async def lose() -> None:
        async with drivers.redis_for_functions(settings) as client:
            await client.ping()
            monkeypatch.setattr(AbstractConnection, "send_packed_command", close_and_send)
            with pytest.raises(Disconnected, match="the handler is closed"):
                await ping(client)

    await asyncio.to_thread(uvloop.run, lose())
