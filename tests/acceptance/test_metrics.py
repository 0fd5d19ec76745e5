"""/metrics also reports the version and read models of a process, and how busy its connections are."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from api.observability.metrics import ALARMING
from readside.redis_functions.keys import Partition
from tests.acceptance.service import running
from tests.acceptance.test_health import figures
from tests.limited import limited
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.settings import Settings
    from tests.acceptance.service import Client


async def until(client: Client, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    async with limited(15):
        while not holds(found := figures((await client.http.get("/metrics")).text)):
            await asyncio.sleep(0.05)
    return found


async def test_each_projector_that_waits_for_entries_keeps_a_connection_busy(
    client: Client,
) -> None:
    busy = "tandem_redis_connections_busy {}".format
    told = await until(client, lambda told: told[busy("streams")] == PARTITIONS)
    assert (told[busy("reads")], told[busy("cursors")] <= 1) == (0, True)


async def test_the_version_and_the_read_models_are_exported(client: Client) -> None:
    text = (await client.http.get("/metrics")).text
    [build] = [line for line in text.splitlines() if line.startswith("tandem_build_info{")]
    assert 'version="' in build
    assert 'read_models="' in build


async def test_codes_with_an_alarm_are_exported_before_the_first_error(client: Client) -> None:
    told = figures((await client.http.get("/metrics")).text)
    for code, kind in product(ALARMING, ("query", "mutation", "subscription", "none")):
        assert told[f"tandem_operations_total {code} {kind}"] == 0


async def test_connections_that_may_still_be_opened_are_exported(settings: Settings) -> None:
    few = settings.model_copy(update={"database_connections": 3})
    async with running(few) as client:
        await client.create_user()
        told = figures((await client.http.get("/metrics")).text)
    states = ("busy", "idle", "unopened")
    assert sum(told[f"tandem_database_connections {state}"] for state in states) == 3


@pytest.mark.parametrize("noted", [{"seen": 3, "expected": 7}, {}])
async def test_a_rebuild_shows_how_far_it_is(settings: Settings, noted: dict[Any, Any]) -> None:
    async with running(settings) as client, Redis.from_url(str(settings.redis_url)) as redis:
        place = Partition(2)
        await redis.hset(place.generations, "fffffffffff-00000000", "live")
        if noted:
            await redis.hset(f"{place.prefix}:fffffffffff-00000000:counters", mapping=noted)
        told = await until(client, lambda told: told["tandem_read_model_building 2"] == 1)
    rebuild = [told[f"tandem_rebuild_events_{what} 2"] for what in ("done", "expected")]
    assert rebuild == [noted.get("seen", 0), noted.get("expected", 0)]
    assert told["tandem_rebuild_events_expected 1"] == 0
