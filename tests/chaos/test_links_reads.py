"""Reads on links that break: what is answered is right, and what cannot be answered says so in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any, Literal

import pytest

from api.runtime import drivers
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.events import UserId
from readside.errors import ReadModelUnavailable
from readside.projections import orders, user_list, users, users_by_email, users_by_lifetime_value
from readside.queries import pubsub as changing
from readside.queries.page_request import PageRequest
from readside.queries.reader import ReadModel
from tests.chaos.parts import Parts, Wires, parts, wires
from tests.limited import limited

READ_TIMEOUT = 0.5
MARGIN = 2.0
"""Seconds that a busy machine may add."""

FETCHES: dict[str, Callable[[ReadModel, UserId], Awaitable[Any]]] = {
    "user": users.fetch,
    "user-in-version": lambda reads, user: users.fetch(reads, user, min_version=3),
    "users": lambda reads, user: users.fetch_many(reads, {str(user): reads.partition_of(user)}),
    "by-email": lambda reads, _: users_by_email.find(reads, "alice@example.com"),
    "page": lambda reads, _: user_list.page(reads, PageRequest(10)),
    "count": lambda reads, _: user_list.count(reads),
    "customers": lambda reads, _: users_by_lifetime_value.top(reads, 10),
    "orders": lambda reads, user: orders.page(reads, user, PageRequest(10)),
    "order-count": lambda reads, user: orders.count(reads, user),
}


@pytest.fixture
async def ways(database_url: str, redis_url: str) -> AsyncIterator[Wires]:
    async with wires(database_url, redis_url) as ways:
        yield ways


@pytest.fixture
async def here(ways: Wires) -> AsyncIterator[Parts]:
    async with parts(ways.settings(), ways.straight) as here:
        yield here
        ways.heal()  # or saying goodbye would take its time


@pytest.fixture
async def hasty(ways: Wires, here: Parts) -> AsyncIterator[Parts]:
    """Whose reads are given up soon."""
    async with parts(ways.settings(read_timeout=READ_TIMEOUT), ways.straight) as hasty:
        yield hasty
        ways.heal()


@pytest.fixture
async def alice(here: Parts) -> UserId:
    """A user in version 3, whom the read model has."""
    user_id = await here.model.user()
    order_id = await here.model.order(user_id)
    await here.model.ask(CompleteOrder(order_id=order_id))
    await here.arrive()
    return user_id


async def found(reads: ReadModel, user_id: UserId, *, min_version: int = 0) -> users.UserRow:
    """The user, as soon as it is answered: a busy machine may take longer than a hasty reader waits."""
    async with limited(10):
        while True:
            try:
                row = await users.fetch(reads, user_id, min_version=min_version)
            except ReadModelUnavailable:
                continue
            assert row is not None
            return row


async def everything(reads: ReadModel, user_id: UserId) -> list[Any]:
    """All that can be asked, in one turn; an error in the place of what was not answered."""
    asked = [fetch(reads, user_id) for fetch in FETCHES.values()]
    return await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.parametrize("links", ["old", "new"])
@pytest.mark.parametrize("silent", ["both", "answers"])
async def test_while_redis_is_a_black_hole_commands_go_on_reads_say_so_and_all_recovers(
    ways: Wires,
    hasty: Parts,
    alice: UserId,
    silent: Literal["both", "answers"],
    links: Literal["old", "new"],
) -> None:
    if links == "old":
        await found(hasty.reads, alice)
    ways.redis.blackhole(silent)
    async with limited(READ_TIMEOUT + MARGIN):
        answers = await everything(hasty.reads, alice)
    assert {type(error) for error in answers} == {ReadModelUnavailable}
    answer = await hasty.model.ask(RenameUser(user_id=alice, name="Zoë"))
    ways.redis.flow()
    await hasty.arrive()
    row = await found(hasty.reads, alice, min_version=answer.version)
    assert (row.version, row.name) == (4, "Zoë")


async def test_a_read_that_waits_for_its_version_when_redis_falls_silent_is_told_in_time(
    ways: Wires, hasty: Parts, alice: UserId
) -> None:
    await found(hasty.reads, alice)
    async with limited(2 * READ_TIMEOUT + MARGIN):
        waiting = asyncio.create_task(users.fetch(hasty.reads, alice, min_version=4))
        await asyncio.wait([waiting], timeout=0.1)
        ways.redis.blackhole()
        with pytest.raises(ReadModelUnavailable):
            await waiting


@pytest.mark.parametrize("cuts", [1, 2])
async def test_an_answer_cut_at_any_byte_is_never_another_value(
    ways: Wires, here: Parts, alice: UserId, cuts: int
) -> None:
    """Cut once, a read asks again by itself; cut twice, it says that there is no answer."""
    right = await everything(here.reads, alice)
    assert not any(isinstance(answer, Exception) for answer in right)
    refused = size = 0
    while True:
        cutting = asyncio.create_task(cut_after(ways, size, cuts))
        await asyncio.sleep(0)
        answers = await everything(here.reads, alice)
        cut = cutting.done()
        cutting.cancel()
        ways.redis.heal()
        if not cut:
            break
        for answer, wanted in zip(answers, right, strict=True):
            assert answer == wanted or isinstance(answer, ReadModelUnavailable)
        refused += answers != right
        size += 13
    assert size > 500
    assert bool(refused) == (cuts == 2)


async def cut_after(ways: Wires, size: int, cuts: int) -> None:
    for _ in range(cuts):
        await ways.redis.cut_after(size).fired.wait()


async def test_an_answer_that_comes_too_late_is_not_taken_for_that_of_the_next_question(
    ways: Wires, hasty: Parts, alice: UserId
) -> None:
    bob = await hasty.model.user("Bob", "bob@example.com")
    await hasty.arrive()
    await found(hasty.reads, bob)
    held = ways.redis.hold_next("HMGET")
    with pytest.raises(ReadModelUnavailable):
        await users.fetch(hasty.reads, alice)
    assert held.fired.is_set()
    held.release()
    for user_id, name in [(bob, "Bob"), (alice, "Alice")] * 3:
        row = await found(hasty.reads, user_id)
        assert (row.id, row.name) == (str(user_id), name)


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_is_cancelled_leaves_no_answer_behind_for_others(
    ways: Wires, seed: int
) -> None:
    """Of the driver itself, on the connections of relays and projectors."""
    random = Random(seed)
    ways.redis.delay(0.001)
    async with drivers.redis_for_functions(ways.settings(partitions=1, read_timeout=10)) as redis:

        async def ask(number: int) -> None:
            if number % 2:
                assert await redis.echo(f"{number}") == f"{number}"
                return
            pipeline = redis.pipeline(transaction=False)
            for part in range(3):
                pipeline.echo(f"{number} {part}")
            assert await pipeline.execute() == [f"{number} {part}" for part in range(3)]

        for number in range(0, 240, 4):
            asked = [asyncio.create_task(ask(number + one)) for one in range(4)]
            await asyncio.sleep(random.uniform(0, 0.004))
            for task in random.sample(asked, 2):
                task.cancel()
            for outcome in await asyncio.gather(*asked, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError)


async def test_a_listening_link_that_is_half_open_is_left(
    ways: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "_MAX_SILENCE_SECONDS", 0.1)
    async with parts(ways.settings(), ways.straight):
        await listening(ways, 1)
        ways.redis.half_open()
        await listening(ways, 2)
        ways.heal()


async def listening(ways: Wires, times: int) -> None:
    """Returns once somebody has begun to listen so many times."""
    async with limited(10):
        while ways.redis.asked["SUBSCRIBE tandem:silent"] < times:
            await asyncio.sleep(0.01)


async def test_on_links_that_are_half_open_reads_say_so_in_time_and_then_are_right(
    ways: Wires, hasty: Parts, alice: UserId
) -> None:
    await found(hasty.reads, alice)
    ways.redis.half_open()
    async with limited(READ_TIMEOUT + MARGIN):
        with pytest.raises(ReadModelUnavailable):
            await users.fetch(hasty.reads, alice)
        row = await found(hasty.reads, alice, min_version=3)
    assert row.version == 3
