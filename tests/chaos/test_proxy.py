"""The proxy's links, before either store and over either kind of socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, cast

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.chaos.addresses import at
from tests.chaos.proxy import Proxy, proxy
from tests.chaos.raw_connection import PING, bare, command
from tests.limited import limited

Kind = Literal["unix", "tcp"]

LONG = 3_000_000


@pytest.fixture(params=["unix", "tcp"])
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture
async def to_redis(redis_url: str, kind: Kind) -> AsyncIterator[Proxy]:
    async with proxy(redis_url, kind) as wire:
        yield wire


@pytest.fixture
async def past(redis_url: str) -> AsyncIterator[Redis]:
    """A client past the proxy."""
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
async def through(to_redis: Proxy) -> AsyncIterator[Redis]:
    async with Redis.from_url(to_redis.url, retry=None, protocol=2) as redis:
        await redis.ping()
        yield redis


async def until_none_is_left(wire: Proxy) -> None:
    async with limited(10):
        while wire.sides:
            await asyncio.sleep(0)


async def test_what_passes_to_redis_and_back_is_unchanged(through: Redis, past: Redis) -> None:
    value = bytes(range(256)) * (LONG // 256)
    await through.set("long", value)
    assert await past.get("long") == value
    assert await through.get("long") == value


async def test_what_passes_to_postgresql_and_back_is_unchanged(
    database_url: str, kind: Kind
) -> None:
    async with proxy(database_url, kind) as wire:
        connection = await asyncpg.connect(wire.url)
        assert await connection.fetchval("select $1::text || 'b'", "a" * LONG) == "a" * LONG + "b"
        rows = await connection.fetch("select n from generate_series(1, 50000) n")
        assert [row["n"] for row in rows] == list(range(1, 50001))
        await connection.close()


async def test_a_proxy_before_a_proxy_over_tcp_is_a_way_to_the_server(redis_url: str) -> None:
    async with proxy(redis_url, "tcp") as near, proxy(near.url) as far:
        assert far.url.startswith("redis://127.0.0.1:")
        async with Redis.from_url(far.url) as redis:
            assert await redis.ping()


@pytest.mark.parametrize(
    ("url", "unix", "tcp"),
    [
        (
            "postgresql://me@/db?host=/a%20b&application_name=x",
            "postgresql://me@/db?application_name=x&host=/s",
            "postgresql://me@h:1/db?application_name=x",
        ),
        (
            "postgresql://me:pw@far/db?sslmode=disable",
            "postgresql://me:pw@/db?sslmode=disable&host=/s",
            "postgresql://me:pw@h:1/db?sslmode=disable",
        ),
        ("unix:///a/b.sock?db=2", "unix:///s/.sock?db=2", "redis://h:1?db=2"),
        ("redis://:pw@far:7000/2", "unix://:pw@/s/.sock?db=2", "redis://:pw@h:1?db=2"),
    ],
)
def test_only_the_address_of_a_url_is_replaced(url: str, unix: str, tcp: str) -> None:
    assert (at("/s/.sock", url), at(("h", 1), url)) == (unix, tcp)


async def test_a_cut_ends_what_there_is_and_new_links_are_made(
    to_redis: Proxy, through: Redis
) -> None:
    to_redis.cut()
    assert not to_redis.links
    with pytest.raises(RedisConnectionError):
        await through.ping()
    assert await through.ping()


async def test_a_cut_is_a_reset_over_tcp(to_redis: Proxy, through: Redis, kind: Kind) -> None:
    async with bare(to_redis.url) as (reader, writer):
        writer.write(PING)
        assert await reader.readline() == b"+PONG\r\n"
        to_redis.cut()
        if kind == "tcp":
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            assert await reader.read() == b""


async def test_while_it_refuses_nobody_is_let_in(to_redis: Proxy, through: Redis) -> None:
    to_redis.refuse()
    for _ in range(3):
        with pytest.raises(RedisConnectionError):
            await through.ping()
    to_redis.accept()
    assert await through.ping()


async def test_what_a_client_said_before_it_left_is_still_heard(
    to_redis: Proxy, past: Redis
) -> None:
    async with bare(to_redis.url) as (_, writer):
        writer.write(command(b"INCR", b"n") * 100)
        writer.close()
        await writer.wait_closed()
    await until_none_is_left(to_redis)
    await until_it_is(past, b"100")


async def test_when_the_server_ends_a_connection_so_does_the_proxy(
    to_redis: Proxy, past: Redis
) -> None:
    async with bare(to_redis.url) as (reader, writer):
        writer.write(PING)
        await reader.readline()
        await past.client_kill_filter(skipme=True)
        assert await reader.read() == b""
        await until_none_is_left(to_redis)


async def test_the_server_behind_it_may_go_and_come_back(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "s"
    async with proxy(f"unix://{path}", kind) as wire:
        for _ in range(2):
            async with bare(wire.url) as (reader, _):
                assert await reader.read() == b""
            async with echo(path), bare(wire.url) as (reader, writer):
                writer.write(PING)
                assert await reader.readexactly(len(PING)) == PING


class Echo(asyncio.Protocol):
    """Answers with what was asked."""

    def __init__(self, present: set[Echo]) -> None:
        self.present = present

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.present.add(self)
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.present.remove(self)


@asynccontextmanager
async def echo(path: Path) -> AsyncIterator[None]:
    present: set[Echo] = set()
    server = await asyncio.get_running_loop().create_unix_server(lambda: Echo(present), path)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)  # since Python 3.13 it is removed by itself
        while present:
            await asyncio.sleep(0)


async def test_answers_are_delayed_in_their_order(to_redis: Proxy, through: Redis) -> None:
    async with bare(to_redis.url) as (reader, writer):
        writer.write(PING)
        await reader.readline()
        to_redis.delay(0.1)
        began = time.monotonic()
        writer.write(command(b"ECHO", b"1"))
        await through.ping()  # by now the echo is in the queue
        assert time.monotonic() - began >= 0.1
        to_redis.delay(0.2)
        writer.write(command(b"ECHO", b"2"))
        await through.ping()
        to_redis.delay(0)
        writer.write(command(b"ECHO", b"3"))
        assert await reader.readexactly(21) == b"$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"


async def counted(redis: Redis) -> int:
    return int(await redis.incr("n"))


async def test_in_a_black_hole_nothing_arrives_until_it_flows(
    to_redis: Proxy, through: Redis, past: Redis
) -> None:
    to_redis.blackhole()
    old = asyncio.create_task(counted(through))
    async with Redis.from_url(to_redis.url, retry=None) as newcomer:
        new = asyncio.create_task(counted(newcomer))
        _, waiting = await asyncio.wait([old, new], timeout=0.1)
        assert waiting == {old, new}
        assert await past.get("n") is None
        to_redis.flow()
        assert {await old, await new} == {1, 2}


async def test_from_a_black_hole_a_request_arrives_late_though_its_client_has_gone(
    to_redis: Proxy, past: Redis
) -> None:
    async with bare(to_redis.url) as (reader, writer):
        writer.write(PING)
        await reader.readline()
        to_redis.blackhole()
        writer.write(command(b"INCR", b"n"))
        writer.close()
        await writer.wait_closed()
    assert await past.get("n") is None
    to_redis.flow()
    await until_none_is_left(to_redis)
    await until_it_is(past, b"1")  # Redis takes up what was sent whenever it likes


async def test_a_black_hole_may_swallow_answers_alone(
    to_redis: Proxy, through: Redis, past: Redis
) -> None:
    to_redis.blackhole("answers")
    asked = asyncio.create_task(counted(through))
    await until_it_is(past, b"1")
    assert not asked.done()
    to_redis.flow()
    assert await asked == 1


async def until_it_is(past: Redis, value: bytes) -> None:
    async with limited(10):
        while await past.get("n") != value:
            pass


async def test_what_a_black_hole_held_may_be_lost(
    to_redis: Proxy, through: Redis, past: Redis
) -> None:
    to_redis.blackhole("answers")
    asked = asyncio.create_task(counted(through))
    await until_it_is(past, b"1")
    to_redis.flow(drop=True)
    with pytest.raises(RedisConnectionError):
        await asked
    assert await past.get("n") == b"1"


async def test_the_end_of_a_server_is_not_told_in_a_black_hole(
    to_redis: Proxy, past: Redis
) -> None:
    async with bare(to_redis.url) as (reader, writer):
        writer.write(PING)
        await reader.readline()
        to_redis.blackhole()
        await past.client_kill_filter(skipme=True)
        end = asyncio.create_task(reader.read())
        assert not (await asyncio.wait([end], timeout=0.05))[0]
        to_redis.flow()
        assert await end == b""


async def until_alone(past: Redis) -> None:
    """Returns once the server has done with everybody else."""
    async with limited(10):
        while len(await past.client_list(_type="normal")) > 1:
            pass


async def test_a_half_open_link_is_gone_for_the_server_alone(
    to_redis: Proxy, through: Redis, past: Redis
) -> None:
    to_redis.half_open()
    await until_alone(past)
    asked = asyncio.create_task(counted(through))
    assert not (await asyncio.wait([asked], timeout=0.1))[0]
    async with Redis.from_url(to_redis.url) as newcomer:
        assert await newcomer.incr("n") == 1
    to_redis.flow()
    with pytest.raises(RedisConnectionError):
        await asked


async def test_a_client_that_does_not_listen_holds_up_nobody_else(
    to_redis: Proxy, through: Redis
) -> None:
    await through.set("long", b"x" * LONG)
    async with bare(to_redis.url) as (_, writer):
        for _ in range(5):
            writer.write(command(b"GET", b"long"))
            assert await through.ping()


async def test_leaving_ends_everything_that_it_has_opened(redis_url: str, kind: Kind) -> None:
    before = asyncio.all_tasks()
    async with proxy(redis_url, kind) as wire, Redis.from_url(redis_url) as past:
        async with bare(wire.url) as idle, bare(wire.url) as held, bare(wire.url) as deaf:
            await past.set("long", b"x" * LONG)
            idle[1].write(PING)
            await idle[0].readline()
            hold = wire.hold_next("GET")
            held[1].write(command(b"GET", b"long"))
            await hold.reached
            deaf[1].write(command(b"GET", b"long"))
            await past.ping()
            wire.delay(60)
            idle[1].write(PING)
            wire.blackhole()
            async with bare(wire.url), bare(wire.url):
                await wire.close()
        assert not wire.sides
        await until_alone(past)
    assert asyncio.all_tasks() == before
    with pytest.raises(OSError, match=r"."):
        async with bare(wire.url):
            pass
