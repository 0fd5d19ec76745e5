"""Connections are handed over in order of arrival, never to a cancelled waiter, never if unsound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.connection_pool import ConnectionPool, is_lost
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

TWO = 2


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    settings = Settings(database_url=database_url, database_connections=TWO)
    async with drivers.database(settings) as pool:
        yield pool
        pool.terminate()  # some connections are still held


@pytest.fixture
def connections(pool: asyncpg.Pool) -> ConnectionPool:
    return ConnectionPool(pool, timeout_seconds=60.0, max_hold_seconds=60.0)


async def queue(connections: ConnectionPool, count: int) -> list[asyncio.Task[Any]]:
    """Returns `count` waiters, in order."""
    waiting = [asyncio.create_task(connections.acquire()) for _ in range(count)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    return waiting


async def none_is_lost(connections: ConnectionPool, pool: asyncpg.Pool) -> None:
    """Asserts that all connections can be acquired, and that there are no more than that."""
    async with limited(5):
        taken = [await connections.acquire() for _ in range(TWO)]
    assert pool.get_size() == TWO
    for connection in taken:
        await connections.release(connection, sound=True)


async def test_a_released_connection_goes_to_the_longest_waiter(
    connections: ConnectionPool, pool: asyncpg.Pool
) -> None:
    first, second = [await connections.acquire() for _ in range(TWO)]
    waiting = await queue(connections, 3)
    await connections.release(second, sound=True)
    assert await waiting[0] is second
    await connections.release(first, sound=True)
    assert await waiting[1] is first
    await connections.release(first, sound=True)
    assert await waiting[2] is first
    for connection in (first, second):
        await connections.release(connection, sound=True)
    await none_is_lost(connections, pool)


async def test_an_unsound_connection_returns_to_the_pool_and_another_is_acquired(
    connections: ConnectionPool, pool: asyncpg.Pool
) -> None:
    first, second = [await connections.acquire() for _ in range(TWO)]
    waiting = await queue(connections, 1)
    first.terminate()
    await connections.release(first, sound=False)
    third = await waiting[0]
    assert third is not first
    assert await third.fetchval("select 1") == 1
    for connection in (second, third):
        await connections.release(connection, sound=True)
    await none_is_lost(connections, pool)


async def test_the_next_caller_gets_the_free_connection(
    connections: ConnectionPool, pool: asyncpg.Pool
) -> None:
    first = await connections.acquire()
    await connections.release(first, sound=True)
    assert await connections.acquire() is first
    await connections.release(first, sound=True)
    assert await connections.fetch("select 1")
    assert pool.get_size() == 1


async def test_a_free_connection_that_is_lost_is_not_used_again(
    connections: ConnectionPool,
) -> None:
    first = await connections.acquire()
    pid = await first.fetchval("select pg_backend_pid()")
    second = await connections.acquire()
    await connections.release(first, sound=True)
    await second.execute("select pg_terminate_backend($1, 5000)", pid)
    async with limited(5):
        while not is_lost(first):
            await asyncio.sleep(0.01)
    third = await connections.acquire()
    assert third is not first
    assert await third.fetchval("select 1")
    for connection in (second, third):
        await connections.release(connection, sound=True)


async def test_a_connection_lost_during_release_raises_no_error(
    connections: ConnectionPool, pool: asyncpg.Pool
) -> None:
    connection = await connections.acquire()
    giving = asyncio.create_task(connections.release(connection, sound=False))
    await asyncio.sleep(0)
    connection.terminate()  # before the pool handles it
    await giving
    await none_is_lost(connections, pool)


async def test_an_unused_connection_returns_to_the_pool(pool: asyncpg.Pool) -> None:
    async with pool.acquire(), pool.acquire():
        pass  # connecting may take longer than a connection is held
    connections = ConnectionPool(pool, timeout_seconds=60.0, max_hold_seconds=0.5)
    for connection in [await connections.acquire() for _ in range(TWO)]:
        await connections.release(connection, sound=True)
    assert pool.get_idle_size() == 0
    async with limited(5):
        while pool.get_idle_size() < TWO:
            await asyncio.sleep(0.01)


async def test_connections_in_constant_use_leave_others_a_turn_in_the_pool(
    pool: asyncpg.Pool,
) -> None:
    connections = ConnectionPool(pool, timeout_seconds=60.0)

    async def use_constantly() -> None:
        while True:
            await connections.fetch("select 1")

    async with asyncio.TaskGroup() as group:
        needing = [group.create_task(use_constantly()) for _ in range(TWO + 1)]
        for _ in range(3):
            async with limited(5), pool.acquire() as connection:
                assert await connection.fetchval("select 1")
        for task in needing:
            task.cancel()


async def test_a_caller_that_acquires_again_does_not_overtake_a_waiter(
    connections: ConnectionPool,
) -> None:
    """As a command does whose e-mail address is taken: it then reads which rule was violated."""
    first, second = [await connections.acquire() for _ in range(TWO)]
    [waiting] = await queue(connections, 1)

    async def refused() -> PoolConnectionProxy:
        await connections.release(first, sound=False)
        return await connections.acquire()

    asking = asyncio.create_task(refused())
    await asyncio.wait([waiting, asking], return_when=asyncio.FIRST_COMPLETED)
    assert waiting.done()
    assert not asking.done()
    await connections.release(waiting.result(), sound=True)
    for connection in (second, await asking):
        await connections.release(connection, sound=True)


@pytest.mark.parametrize("sound", [True, False])
async def test_a_waiter_cancelled_at_its_handover_keeps_no_connection(
    connections: ConnectionPool, pool: asyncpg.Pool, *, sound: bool
) -> None:
    first, second = [await connections.acquire() for _ in range(TWO)]
    leaving, staying = await queue(connections, 2)
    await connections.release(first, sound=sound)
    leaving.cancel()
    assert await staying
    await connections.release(second, sound=True)
    await connections.release(staying.result(), sound=True)
    assert leaving.cancelled()
    await none_is_lost(connections, pool)
    assert [await connections.acquire() for _ in range(TWO)]


async def test_a_cancelled_waiter_is_skipped(
    connections: ConnectionPool, pool: asyncpg.Pool
) -> None:
    first, second = [await connections.acquire() for _ in range(TWO)]
    left, staying = await queue(connections, 2)
    left.cancel()
    await connections.release(first, sound=True)
    assert await staying is first
    for connection in (first, second):
        await connections.release(connection, sound=True)
    await none_is_lost(connections, pool)


async def test_waiters_time_out(pool: asyncpg.Pool) -> None:
    async with pool.acquire(), pool.acquire():
        pass  # connecting may take longer than the timeout
    connections = ConnectionPool(pool, timeout_seconds=0.05, max_hold_seconds=60.0)
    first, second = [await connections.acquire() for _ in range(TWO)]
    for _ in range(2):
        waiting = await queue(connections, 2)
        async with limited(5):
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [TimeoutError] * 2
    for connection in (first, second):
        await connections.release(connection, sound=True)
    assert [await connections.acquire() for _ in range(TWO)]


async def test_a_later_waiter_times_out_later(pool: asyncpg.Pool) -> None:
    connections = ConnectionPool(pool, timeout_seconds=0.5, max_hold_seconds=60.0)
    first, second = [await connections.acquire() for _ in range(TWO)]
    early = asyncio.create_task(connections.acquire())
    await asyncio.sleep(0.4)
    late = asyncio.create_task(connections.acquire())
    await asyncio.wait([early], timeout=5)
    assert isinstance(early.exception(), TimeoutError)
    assert not late.done()
    await connections.release(first, sound=True)
    assert await late is first
    for connection in (first, second):
        await connections.release(connection, sound=True)


async def test_an_exhausted_pool_delays_no_caller_beyond_the_timeout(pool: asyncpg.Pool) -> None:
    connections = ConnectionPool(pool, timeout_seconds=0.05, max_hold_seconds=60.0)
    async with pool.acquire(), pool.acquire():
        for _ in range(TWO + 1):
            async with limited(5):
                with pytest.raises(TimeoutError):
                    await connections.acquire()
    assert [await connections.acquire() for _ in range(TWO)]


async def test_a_failed_acquire_holds_no_slot(
    connections: ConnectionPool, pool: asyncpg.Pool
) -> None:
    async with pool.acquire(), pool.acquire():
        for _ in range(TWO + 1):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await connections.acquire()
    assert [await connections.acquire() for _ in range(TWO)]


async def test_no_connection_is_lost_among_many_cancelled_callers(
    connections: ConnectionPool, pool: asyncpg.Pool
) -> None:
    async def one(number: int) -> None:
        connection = await connections.acquire()
        try:
            await connection.fetchval("select pg_sleep(0.001)")
        finally:
            await connections.release(connection, sound=number % 7 > 0)

    tasks = [asyncio.create_task(one(number)) for number in range(300)]
    for number, task in enumerate(tasks):
        if number % 5 == 0:
            await asyncio.sleep(0.001)
            task.cancel()
    await asyncio.wait(tasks)
    assert pool.get_size() <= TWO
    assert [await connections.acquire() for _ in range(TWO)]


async def test_connections_that_have_expired_are_not_used_again(
    connections: ConnectionPool, pool: asyncpg.Pool
) -> None:
    """Neither a free connection nor one that is released later."""
    first, second = [await connections.acquire() for _ in range(TWO)]
    before = {first.get_server_pid(), second.get_server_pid()}
    await connections.release(first, sound=True)
    await connections.expire()
    await connections.release(second, sound=True)
    async with asyncio.timeout(5):
        third, fourth = [await connections.acquire() for _ in range(TWO)]
    assert not before & {third.get_server_pid(), fourth.get_server_pid()}
    await connections.release(third, sound=True)
    await connections.release(fourth, sound=True)
    await none_is_lost(connections, pool)


async def test_connections_expire_by_age(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "CONNECTION_MAX_AGE_SECONDS", 0.05)
    settings = Settings(database_url=database_url)
    async with drivers.database(settings) as pool, asyncio.timeout(10):
        first = await pool.fetchval("select pg_backend_pid()")
        while await pool.fetchval("select pg_backend_pid()") == first:
            await asyncio.sleep(0.01)
