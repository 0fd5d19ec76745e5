"""The multiplexed connection on a real Valkey and on failing networks: order, deadlines, limits, retries."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hiredis import ReplyError
from structlog.testing import capture_logs

from api.runtime import drivers
from api.settings import Settings
from readside.errors import ReadModelOverloaded, ReadModelUnavailable
from readside.redis_connection.connection import MultiplexedConnection
from readside.redis_connection.encoding import CommandTemplate, pack
from tests.api.with_limits import with_limits
from tests.chaos.proxy import Proxy, proxy
from tests.limited import limited
from tests.readside.contents import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from readside.redis_connection.protocol import Replies

PATIENCE = 0.5
MARGIN = 2.0
"""Seconds that a busy machine may add."""


@asynccontextmanager
async def link_to(
    url: str, *, most: int = 20_000, patience: float = 10.0
) -> AsyncIterator[MultiplexedConnection]:
    limits = with_limits(reads=most)
    async with drivers.connection_for_reads(
        Settings(redis_url=url, read_timeout=patience, limits=limits)
    ) as link:
        assert isinstance(link, MultiplexedConnection)
        yield link


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[MultiplexedConnection]:
    async with link_to(redis_url) as link:
        yield link


@pytest.fixture
async def wire(redis_url: str) -> AsyncIterator[Proxy]:
    async with proxy(redis_url) as wire:
        yield wire


@pytest.fixture
async def through(wire: Proxy) -> AsyncIterator[MultiplexedConnection]:
    """A connection through a proxy that may break it, after a first request."""
    async with link_to(wire.url) as through:
        assert await echo(through, "hello") == ["hello"]
        yield through


@pytest.fixture
async def hasty(wire: Proxy) -> AsyncIterator[MultiplexedConnection]:
    """The same, but it is given up soon."""
    async with link_to(wire.url, patience=PATIENCE) as hasty:
        assert await echo(hasty, "hello") == ["hello"]
        yield hasty


def echo(link: MultiplexedConnection, *texts: str) -> asyncio.Future[Replies]:
    return link.send([pack(("ECHO", text)) for text in texts])


async def outcomes(*asked: asyncio.Future[Replies]) -> list[Any]:
    return await asyncio.gather(*asked, return_exceptions=True)


def kinds(found: list[Any]) -> set[type]:
    return {type(one) for one in found}


async def test_each_request_gets_its_own_replies_in_order(link: MultiplexedConnection) -> None:
    asked = [
        echo(link, *(f"{number} {part}" for part in range(1 + number % 4)))
        for number in range(1, 200)
    ]
    for number, replies in enumerate(await asyncio.gather(*asked), start=1):
        assert replies == [f"{number} {part}" for part in range(1 + number % 4)]


async def test_a_reply_may_be_of_any_kind_and_an_error_is_one_of_them(
    link: MultiplexedConnection,
) -> None:
    await link.send([pack(("RPUSH", "list", "a", "b")), pack(("SET", "bytes", "x"))])
    found = await link.send(
        [
            pack(words)
            for words in [
                ("LRANGE", "list", "0", "-1"),
                ("GET", "none"),
                ("HGET", "list", "f"),
                ("STRLEN", "bytes"),
            ]
        ]
    )
    assert (found[0], found[1], found[3]) == (["a", "b"], None, 1)
    assert isinstance(found[2], ReplyError)
    assert str(found[2]).startswith("WRONGTYPE")


async def test_invalid_utf_8_is_replaced(link: MultiplexedConnection, redis: Redis) -> None:
    await redis.set("bytes", b"a\xffb")
    assert await link.send([pack(("GET", "bytes"))]) == ["a\ufffdb"]


async def test_a_command_template_packs_like_hiredis() -> None:
    form = CommandTemplate("HMGET", "name", "email")
    for key in ("k", "k" * 99, "tandem:{3}:g:user:1"):
        assert form.pack(key) == pack(("HMGET", key, "name", "email"))
    with pytest.raises(UnicodeEncodeError):
        form.pack("ä")  # its length would be wrong


async def test_replies_that_arrive_in_many_pieces_are_put_together(
    wire: Proxy, through: MultiplexedConnection
) -> None:
    texts = [str(number) * 5_000 for number in range(100)]
    asked = [echo(through, text, "short") for text in texts]
    for text, replies in zip(texts, await asyncio.gather(*asked), strict=True):
        assert replies == [text, "short"]


async def test_a_request_without_commands_delays_no_other(link: MultiplexedConnection) -> None:
    with pytest.raises(ValueError, match="at least one"):
        link.send([])
    assert await echo(link, "a") == ["a"]


async def test_more_than_the_sockets_hold_is_sent_as_they_empty(
    link: MultiplexedConnection,
) -> None:
    texts = [chr(97 + number % 26) * 1_000_000 for number in range(30)]
    asked = [echo(link, text) for text in texts]
    assert [reply for [reply] in await asyncio.gather(*asked)] == texts


async def test_it_connects_at_the_first_request_with_its_client_name(
    redis_url: str, redis: Redis
) -> None:
    async with link_to(redis_url) as link:
        assert "tandem-reads" not in await names(redis)
        await echo(link, "hello")
        assert (await names(redis)).count("tandem-reads") == 1

    async def gone() -> bool:
        return "tandem-reads" not in await names(redis)

    await eventually(gone)  # the server learns of it after us


async def names(redis: Redis) -> list[str]:
    return [client["name"] for client in await redis.client_list(_type="normal")]


async def test_a_request_above_the_limit_is_rejected_immediately_and_later_ones_are_accepted(
    wire: Proxy,
) -> None:
    async with link_to(wire.url, most=4) as link:
        await echo(link, "hello")
        wire.blackhole("answers")
        asked = [echo(link, "1", "2", "3"), echo(link, "4")]
        assert link.in_flight == 4
        with pytest.raises(ReadModelOverloaded):
            echo(link, "5")
        wire.flow()
        assert await asyncio.gather(*asked) == [["1", "2", "3"], ["4"]]
        assert (link.in_flight, link.rejected_count) == (0, 1)
        assert await echo(link, "5") == ["5"]


async def test_a_cancelled_request_takes_no_reply_of_another(
    wire: Proxy, through: MultiplexedConnection
) -> None:
    held = wire.hold_next("ECHO 2")
    asked = [echo(through, str(number), "x") for number in range(5)]
    await held.reached
    asked[2].cancel()
    asked[3].cancel()
    held.release()
    assert [replies[0] for replies in await asyncio.gather(asked[0], asked[1], asked[4])] == [
        "0",
        "1",
        "4",
    ]
    assert through.in_flight == 0


async def test_a_request_expires_in_time_and_fails_no_other(
    wire: Proxy, hasty: MultiplexedConnection
) -> None:
    began = time.monotonic()
    async with limited(PATIENCE + MARGIN):
        held = wire.hold_next("ECHO late")
        late = echo(hasty, "late")
        await held.reached
        await asyncio.wait([late], timeout=PATIENCE / 2)
        behind = echo(hasty, "behind")
        assert kinds(await outcomes(late)) == {ReadModelUnavailable}
        assert await behind == ["behind"], "asked once more, on another connection"
    assert time.monotonic() - began >= PATIENCE
    assert (hasty.connect_count, hasty.failed_count, hasty.in_flight) == (2, 1, 0)


async def test_a_late_reply_is_discarded(wire: Proxy, hasty: MultiplexedConnection) -> None:
    held = wire.hold_next("ECHO late")
    assert kinds(await outcomes(echo(hasty, "late"))) == {ReadModelUnavailable}
    held.release()
    for text in ("a", "b"):
        assert await echo(hasty, text) == [text]


async def test_requests_in_flight_on_a_lost_connection_are_sent_once_more(
    wire: Proxy, through: MultiplexedConnection
) -> None:
    wire.swallow_next("ECHO b")
    assert await outcomes(echo(through, "a", "b", "c"), echo(through, "d")) == [
        ["a", "b", "c"],
        ["d"],
    ]
    assert (wire.asked["ECHO b"], wire.asked["ECHO d"], through.connect_count) == (2, 2, 2)


async def test_a_request_is_not_sent_a_third_time(
    wire: Proxy, through: MultiplexedConnection
) -> None:
    wire.swallow_next("ECHO b")
    wire.swallow_next("ECHO b")
    found = await outcomes(echo(through, "a"), echo(through, "b"), echo(through, "c"))
    assert found[0] == ["a"]
    assert kinds(found[1:]) == {ReadModelUnavailable}
    assert wire.asked["ECHO b"] == 2
    assert await echo(through, "b") == ["b"]


@pytest.mark.parametrize("fault", ["cut", "truncated", "half-open", "killed"])
async def test_it_recovers_from_any_connection_loss(
    wire: Proxy, hasty: MultiplexedConnection, redis: Redis, fault: str
) -> None:
    match fault:
        case "cut":
            wire.cut()
        case "truncated":
            wire.truncate_next("ECHO")
        case "half-open":
            wire.half_open()
        case _:
            await redis.client_kill_filter(_type="normal", skipme=True)
    [found] = await outcomes(echo(hasty, "a"))
    assert found == ["a"] or (fault == "half-open" and isinstance(found, ReadModelUnavailable))
    assert await echo(hasty, "b") == ["b"]
    assert hasty.connect_count == 2


async def test_requests_wait_while_it_connects(wire: Proxy) -> None:
    async with link_to(wire.url) as link:
        wire.blackhole()
        asked = [echo(link, str(number)) for number in range(3)]
        await asyncio.wait(asked, timeout=0.1)
        assert not any(one.done() for one in asked)
        wire.flow()
        assert await asyncio.gather(*asked) == [["0"], ["1"], ["2"]]


async def test_without_a_server_requests_fail_immediately_and_it_retries(
    redis_url: str, wire: Proxy
) -> None:
    async with link_to(wire.url) as link:
        wire.refuse()
        with capture_logs() as logs:
            for _ in range(5):
                assert kinds(await outcomes(echo(link, "a"))) == {ReadModelUnavailable}
        assert [line["event"] for line in logs] == ["redis.connection_failed"]
        wire.accept()
        async with limited(10):
            while kinds(await outcomes(echo(link, "a"))) == {ReadModelUnavailable}:
                pass


async def test_a_malformed_reply_ends_the_connection(tmp_path: Path) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(babble, tmp_path / "web")
    async with server, link_to(f"unix://{tmp_path}/web") as link:
        assert kinds(await outcomes(echo(link, "a"))) == {ReadModelUnavailable}


async def test_a_flushed_redis_is_the_same_redis(link: MultiplexedConnection, redis: Redis) -> None:
    await link.send([pack(("SET", "a", "1"))])
    await redis.flushall()
    assert await link.send([pack(("GET", "a"))]) == [None]
    assert link.connect_count == 1


async def test_closing_fails_requests_in_flight_and_leaves_no_task(wire: Proxy) -> None:
    before = asyncio.all_tasks()
    async with link_to(wire.url) as link:
        await echo(link, "hello")
        wire.blackhole("answers")
        asked = echo(link, "a")
        await asyncio.sleep(0)
    assert kinds(await outcomes(asked, echo(link, "b"))) == {ReadModelUnavailable}
    wire.heal()
    await asyncio.sleep(0)
    ours = {task.get_name() for task in asyncio.all_tasks() - before}
    assert "tandem-reads" not in ours


async def test_leaving_it_while_it_connects(wire: Proxy) -> None:
    wire.blackhole()
    async with link_to(wire.url) as link:
        asked = echo(link, "a")
        await asyncio.wait([asked], timeout=0.05)
    assert kinds(await outcomes(asked)) == {ReadModelUnavailable}
    wire.heal()
    assert "tandem-reads" not in {task.get_name() for task in asyncio.all_tasks()}
