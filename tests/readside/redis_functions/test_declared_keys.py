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
from readside.projector import projector as projecting
from tests.readside.envelopes import order, user_in
from tests.readside.harness import with_projections
from tests.readside.sums_of_users import revenue_per_month

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.readside.harness import World

ALICE, BOB = user_in(0, 0), user_in(0, 1)
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
