"""A failover of Redis behind one address: the old primary lives on, and so do the connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from api.composition import compose
from api.roles import Role
from api.settings import Settings
from api.workers import end
from tests.acceptance.service import Client, running
from tests.faults.proxy import Proxy, proxy
from tests.faults.stores import Valkey, valkey
from tests.faults.whole import as_the_log
from tests.processes import HOST, free_port

RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
USER = "query($id: ID!, $version: Int) { user(id: $id, minVersion: $version) { name version } }"

SILENT = "tandem:silent"
"""A channel that every process listens to."""

WITHIN = 5.0
"""Seconds from a failover until own writes are visible."""


class Pair:
    """Two servers behind an address; the second one follows the first."""

    def __init__(self, old: Valkey, new: Valkey, address: Proxy) -> None:
        self.old, self.new, self.address = old, new, address

    async def promote(self, then: str) -> None:
        """The old one becomes a replica of nothing ("stale"), of the new one ("follows"), or is "left"."""
        async with Redis.from_url(self.new.url) as new, Redis.from_url(self.old.url) as old:
            await synced(old, new)
            await new.replicaof("NO", "ONE")
            if then == "follows":
                port: Any = (await new.config_get("port"))["port"]
                await old.replicaof(HOST, port)
            elif then == "stale":
                await old.replicaof(HOST, "1")
        self.address.lead_to(self.new.url)


async def synced(old: Redis, new: Redis) -> None:
    async with asyncio.timeout(20):
        while True:
            there: Any = await old.info("replication")
            here: Any = await new.info("replication")
            if here.get("master_link_status") == "up" and (
                here["slave_repl_offset"] == there["master_repl_offset"]
            ):
                return
            await asyncio.sleep(0.02)


@pytest.fixture
async def pair(data_dir: Path) -> AsyncIterator[Pair]:
    data_dir.mkdir()
    ports = [str(free_port()), str(free_port())]
    options = ("--bind", HOST, "--repl-diskless-sync-delay", "0")
    async with (
        valkey(data_dir / "a", "--port", ports[0], *options, appendonly=False) as old,
        valkey(data_dir / "b", "--port", ports[1], *options, appendonly=False) as new,
        proxy(old.url) as address,
    ):
        async with Redis.from_url(new.url) as redis:
            await redis.replicaof(HOST, ports[0])
        yield Pair(old, new, address)


@asynccontextmanager
async def loops(settings: Settings, *roles: Role) -> AsyncIterator[None]:
    async with compose(settings, frozenset(roles)) as service:
        tasks = [asyncio.create_task(loop(), name=name) for name, loop in service.loops.items()]
        try:
            yield
        finally:
            fallen = [task for task in tasks if task.done()]
            await end(tasks)
            assert not fallen, fallen


@pytest.mark.parametrize("then", ["stale", "follows", "left"])
async def test_own_writes_are_visible_soon_whatever_becomes_of_the_old_primary(
    pair: Pair, database_url: str, then: str
) -> None:
    """Each role for itself: that one of them is refused there says nothing to another process."""
    settings = Settings(database_url=database_url, redis_url=pair.address.url)
    async with (
        loops(settings, Role.RELAY),
        loops(settings, Role.PROJECTOR),
        running(settings, frozenset({Role.API})) as client,
    ):
        await client.until_built()
        user = await client.create_user()
        await pair.promote(then)
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
