"""/readyz during an outage: in time, however long it lasts, and ready as long as one side works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from domain.log.relay import Relay
from tests.acceptance.service import Client, running
from tests.acceptance.test_health import ALL_WELL, health, until
from tests.chaos.proxy import Proxy, proxy
from tests.limited import limited

if TYPE_CHECKING:
    from api.settings import Settings

PROMPT = 2.0
"""Seconds."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop is frozen sooner than a driver gives up a store that says nothing."""
    monkeypatch.setattr("api.observability.heartbeat.STALLED_SECONDS", 3.0)


@asynccontextmanager
async def behind_wires(settings: Settings) -> AsyncIterator[tuple[Client, dict[str, Proxy]]]:
    """A whole service that has been busy, so that its pools are warm, and the wires to its stores."""
    async with proxy(str(settings.database_url)) as pg, proxy(str(settings.redis_url)) as redis:
        through = settings.model_copy(update={"database_url": pg.url, "redis_url": redis.url})
        async with running(through) as client:
            for number in range(3):
                await client.create_user(email=f"user{number}@example.com")
            yield client, {"writes": pg, "reads": redis}


@pytest.mark.parametrize(("silent", "works"), [("writes", "reads"), ("reads", "writes")])
async def test_a_service_whose_one_store_says_nothing_stays_ready_for_the_other(
    settings: Settings, silent: str, works: str
) -> None:
    async with behind_wires(settings) as (client, wires):
        assert await health(client.http) == (200, ALL_WELL)
        wires[silent].blackhole("both")
        await until(client.http, lambda _, parts: parts[silent] != "ok")
        end = time.monotonic() + 8
        while time.monotonic() < end:
            async with limited(PROMPT):
                status, parts = await health(client.http)
            assert (status, parts[works]) == (200, "ok")
            assert "does not answer" in parts[silent]
        assert "does not answer" in parts["relay"]
        wires[silent].flow(drop=True)
        await until(client.http, lambda status, parts: (status, parts) == (200, ALL_WELL))


async def test_with_both_stores_silent_the_service_is_unready_and_says_so_in_time(
    settings: Settings,
) -> None:
    async with behind_wires(settings) as (client, wires):
        for wire in wires.values():
            wire.blackhole("both")
        await until(client.http, lambda status, _: status == 503)
        for _ in range(3):
            async with limited(PROMPT):
                status, parts = await health(client.http)
            assert status == 503
        assert "PostgreSQL does not answer" in parts["writes"]
        assert "Redis does not answer" in parts["reads"]
        for wire in wires.values():
            wire.flow(drop=True)


async def test_a_silent_store_gets_one_status_query_at_a_time(settings: Settings) -> None:
    async with behind_wires(settings) as (client, wires):
        wires["writes"].blackhole("both")
        for _ in range(4):
            await health(client.http)
            await asyncio.sleep(0.2)
        told = (await client.http.get("/metrics")).text
        wires["writes"].flow(drop=True)
    [busy] = [
        line
        for line in told.splitlines()
        if line.startswith('tandem_database_connections{state="busy"')
    ]
    assert float(busy.split()[-1]) <= 2  # the relay's, and that of one look


async def test_a_stalled_loop_is_reported_once_the_stores_have_been_back_for_a_while(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, once = asyncio.Event(), Relay.run_once

    async def hanging(self: Relay) -> bool:
        return await (asyncio.Event().wait() if hangs.is_set() else once(self))

    monkeypatch.setattr(Relay, "run_once", hanging)
    async with behind_wires(settings) as (client, wires):
        hangs.set()
        wires["reads"].blackhole("both")
        await until(client.http, lambda _, parts: parts["reads"] != "ok")
        await asyncio.sleep(2)
        assert (await health(client.http))[0] == 200
        wires["reads"].flow(drop=True)
        status, parts = await until(client.http, lambda _, parts: parts["reads"] == "ok")
        assert (status, "is blocked on a request" in parts["relay"]) == (200, True)
        _, parts = await until(client.http, lambda status, _: status == 503)
        assert "relay has made no progress" in parts["relay"]
