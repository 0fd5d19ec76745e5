"""A call of a function declares all keys that it accesses: Redis Cluster decides by them where it can run."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from domain.users.events import (
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside import applier as gating
from readside.projector import projector as projecting
from readside.redis_functions import functions
from tests.readside.envelopes import order, spoilt, user_in
from tests.readside.harness import with_projections
from tests.readside.sums_of_users import revenue_per_month

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from readside.redis_functions.keys import Keys
    from tests.readside.harness import World

ALICE, BOB = user_in(0, 0), user_in(0, 1)
SLICE, ORDERS = 10, 25
PLACED = [OrderPlaced(order_id=order(number), total=1) for number in range(ORDERS)]
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
KEY = re.compile(r"tandem:\{0\}:(?!changed:)")


@asynccontextmanager
async def watched(redis_url: str) -> AsyncIterator[list[str]]:
    """Yields the lines of MONITOR."""
    lines: list[str] = []
    socket = unquote(redis_url.removeprefix("unix://").partition("?")[0])
    reader, writer = await asyncio.open_unix_connection(socket, limit=1 << 24)
    writer.write(b"MONITOR\r\n")
    assert await reader.readline() == b"+OK\r\n"

    async def read() -> None:
        while line := (await reader.readline()).decode():
            lines.append(line)

    reading = asyncio.create_task(read())
    try:
        yield lines
    finally:
        writer.write(b"QUIT\r\n")
        await reading  # all lines until the connection ends
        writer.close()
        await writer.wait_closed()


def undeclared(lines: list[str]) -> set[str]:
    """Returns the keys that a function accessed without a declaration, each with the function."""
    found: set[str] = set()
    name, declared = "", set[str]()
    for line in lines:
        words = WORD.findall(line)
        if " lua] " in line:
            found |= {
                f"{name} {word}" for word in words if KEY.match(word) and word not in declared
            }
        elif words and words[0].upper() == "FCALL":
            name, declared = words[1], set(words[3 : 3 + int(words[2])])
    return found


async def test_every_key_that_a_function_accesses_is_declared(
    world: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)
    projections = with_projections(revenue_per_month)
    async with (
        watched(redis_url) as lines,
        world.projector(projections=projections) as projector,
    ):
        world.commit(ALICE, UserCreated(name="Alice", email="alice@example.com"))
        await world.settle(projector)
        world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
        world.commit(ALICE, OrderPlaced(order_id=order(1), total=5))
        world.commit(ALICE, OrderCompleted(order_id=order(1), total=5))
        world.commit(ALICE, UserRenamed(name="Alicia"), UserEmailUpdated(email="a@example.com"))
        await world.settle(projector)
        await world.steering(projections=projections).resync_aggregate(ALICE)
        world.commit(BOB, UserErased())
        await world.settle(projector)
        assert not (await world.verify(projections=projections).run()).differences
    assert {name.split("_")[0] for name in re.findall(r'FCALL" "(\w+)_tandem', "".join(lines))} >= {
        "append",
        "apply",
        "check",
        "create",
        "reset",
    }
    assert undeclared(lines) == set()


@pytest.fixture
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projecting, "_RESYNC_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(gating, "MAX_BATCH_EVENTS", SLICE)
    monkeypatch.setattr(gating, "MAX_SLICE_EVENTS", SLICE)
    source, limit = vars(functions)["_SOURCE"], "local MAX_UNINDEXED = 1000"
    assert limit in source
    small = source.replace(limit, f"local MAX_UNINDEXED = {SLICE}")
    monkeypatch.setattr(functions, "_SOURCE", small)
    monkeypatch.setattr(functions, "VERSION", "slices")


async def filled(world: World) -> Keys:
    """Returns a read model with Alice, whose name and address have changed before her last orders."""
    created = UserCreated(name="Alice", email="alice@example.com")
    changed = UserRenamed(name="Zoe"), UserEmailUpdated(email="zoe@example.com")
    world.commit(ALICE, created, *PLACED, OrderCompleted(order_id=order(1), total=1), *changed)
    world.commit(ALICE, *(OrderPlaced(order_id=order(ORDERS + n), total=1) for n in range(ORDERS)))
    await world.build()
    keys = await world.serving()
    assert keys is not None
    return keys


@pytest.mark.usefixtures("_small_slices")
async def test_a_resync_in_slices_declares_what_it_has_postponed(
    world: World, redis_url: str
) -> None:
    keys = await filled(world)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    async with watched(redis_url) as lines, world.projector() as projector:
        await world.settle(projector)
    assert f"{keys.needs_resync}:{ALICE}" in "".join(lines)
    assert undeclared(lines) == set()


@pytest.mark.usefixtures("_small_slices")
async def test_an_event_of_the_stream_that_ends_a_resync_declares_what_that_has_postponed(
    world: World, redis_url: str
) -> None:
    """The resync waits for a version that the stream has, and has applied all before it."""
    keys = await filled(world)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    async with watched(redis_url) as lines, world.projector() as projector:
        before = await world.version_of(ALICE)
        while not await world.redis.hexists(keys.document("user", ALICE), "until"):
            await projector.run_once()
        await world.redis.hset(keys.document("user", ALICE), "until", before + 1)
        while await world.version_of(ALICE) < before:
            await projector.run_once()
        version = world.commit(ALICE, UserRenamed(name="Al"))
        await world.settle(projector)
    assert await world.hash_of(ALICE) | {"version": str(version), "name": "Al"} == (
        await world.hash_of(ALICE)
    )
    assert await world.redis.exists(f"{keys.needs_resync}:{ALICE}", keys.parked) == 0
    assert await world.redis.zrange(keys.shared_key("names"), 0, -1) == [f"al\t{ALICE}"]
    assert undeclared(lines) == set()


@pytest.mark.usefixtures("_small_slices")
async def test_an_erasure_in_slices_declares_its_keys(world: World, redis_url: str) -> None:
    """One that waits for a resync, and is then not finished by one call."""
    keys = await filled(world)
    await world.redis.delete(keys.owned_key("orders", ALICE))
    async with watched(redis_url) as lines, world.projector() as projector:
        world.commit(ALICE, UserErased())
        await world.settle(projector)
    assert await world.redis.exists(keys.needs_resync, keys.parked) == 0
    assert undeclared(lines) == set()


@pytest.mark.usefixtures("_small_slices")
@pytest.mark.parametrize("is_missing", [True, False])
async def test_a_park_during_a_resync_declares_what_that_has_postponed(
    world: World, redis_url: str, is_missing: bool
) -> None:
    """For an event that the log does not have, and for one that cannot be decoded."""
    keys = await filled(world)
    history = world.log.committed[0]
    at = len(history) - SLICE // 2
    if is_missing:
        del history[at - SLICE : at]
    else:
        history[at] = spoilt(history[at], schema=99)
    await world.redis.sadd(keys.needs_resync, str(ALICE))
    async with watched(redis_url) as lines, world.projector() as projector:
        await world.settle(projector)
    assert await world.redis.hexists(keys.parked, str(ALICE))
    assert await world.redis.zrange(keys.shared_key("names"), 0, -1) == [f"zoe\t{ALICE}"]
    assert undeclared(lines) == set()
