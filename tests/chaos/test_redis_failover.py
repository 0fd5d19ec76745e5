"""A failover of Redis behind one address: the old primary lives on, and so do the connections to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from api.roles import Role
from api.runtime.background import cancel_all
from api.runtime.composition import compose
from api.settings import Settings
from tests.acceptance.service import Client, running
from tests.chaos import replica
from tests.chaos.conftest import Make
from tests.chaos.convergence import as_the_log
from tests.chaos.load import acknowledged, answered, under_load
from tests.chaos.proxy import Proxy, proxy
from tests.chaos.stores import Valkey, valkey

RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
USER = "query($id: ID!, $version: Int) { user(id: $id, minVersion: $version) { name version } }"

BECOMES = ["stale", "left", *(["follows"] if os.environ.get("TANDEM_NIGHTLY") == "1" else [])]
"""What becomes of the old primary; under load it follows in each run."""

SILENT = "tandem:silent"
"""A channel that every process listens to."""

WITHIN = 30.0
"""Seconds from a failover until own writes are visible: five, on a machine that is not busy."""


class Pair:
    """Two servers behind an address; the second one follows the first."""

    def __init__(self, old: Valkey, new: Valkey, address: Proxy) -> None:
        self.old, self.new, self.address = old, new, address

    async def fail_over(self, then: str) -> None:
        """The old one becomes a replica of the new one ("follows"), of nothing ("stale"), or is "left"."""
        if then == "follows":
            await replica.fail_over(self.old, self.new)
        else:
            await replica.promote(self.new)
        if then == "stale":
            await replica.strand(self.old)
        self.address.lead_to(self.new.url)


@pytest.fixture
async def pair(data_dir: Path) -> AsyncIterator[Pair]:
    data_dir.mkdir()
    delay = ("--repl-diskless-sync-delay", "0")
    async with (
        valkey(data_dir / "a", *delay, appendonly=False) as old,
        valkey(data_dir / "b", *delay, appendonly=False) as new,
        proxy(old.url) as address,
    ):
        await replica.follow(old, new)
        yield Pair(old, new, address)


@asynccontextmanager
async def loops(settings: Settings, *roles: Role) -> AsyncIterator[None]:
    async with compose(settings, frozenset(roles)) as service:
        tasks = [asyncio.create_task(loop(), name=name) for name, loop in service.loops.items()]
        try:
            yield
        finally:
            fallen = [task for task in tasks if task.done()]
            await cancel_all(tasks)
            assert not fallen, fallen


@pytest.mark.parametrize("then", BECOMES)
async def test_own_writes_are_visible_soon_whatever_becomes_of_the_old_primary(
    pair: Pair, database_url: str, then: str
) -> None:
    """Each role for itself: that one of them is refused there says nothing to another process."""
    settings = Settings(database_url=database_url, redis_url=pair.address.url, read_timeout=5)
    async with (
        loops(settings, Role.RELAY),
        loops(settings, Role.PROJECTOR),
        running(settings, frozenset({Role.API})) as client,
    ):
        await client.until_built()
        user = await client.create_user()
        await pair.fail_over(then)
        async with asyncio.timeout(WITHIN):
            await renamed(client, user, 2, "After")
            await heard(pair.new, 3)
        evidence = await as_the_log(settings.model_copy(update={"redis_url": pair.new.url}))
        assert len(evidence.users) == 1


async def heard(server: Valkey, processes: int) -> None:
    """Until so many listen to changes there."""
    async with Redis.from_url(server.url, decode_responses=True) as redis:
        while dict(await redis.pubsub_numsub(SILENT))[SILENT] < processes:
            await asyncio.sleep(0.02)


async def renamed(client: Client, user: str, version: int, name: str) -> None:
    """Until it is seen. What is seen meanwhile is never older than what was asked for."""
    made = await client.data(RENAME, input={"userId": user, "name": name})
    assert made == {"renameUser": {"version": version}}
    while "errors" in (answer := await client.send(USER, id=user, version=version)):
        [error] = answer["errors"]
        assert error["extensions"]["code"].startswith("READ_MODEL_")
    assert answer["data"]["user"] == {"name": name, "version": version}


async def test_a_failover_under_load_breaks_no_promise(make: Make) -> None:
    """Of a service in five processes; both servers live on, and so do the connections to the old one."""
    async with make() as cluster, under_load(cluster) as workload:
        await cluster.fail_over_redis()
        await acknowledged(workload, 30)
        await answered(workload, 30)
        await cluster.fail_over_postgres()
        await acknowledged(workload, 30)
        await answered(workload, 30)
