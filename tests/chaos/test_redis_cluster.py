"""Redis Cluster under load: slots move, primaries die, nodes join. No event is lost, no answer is wrong."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from api.roles import namespace, read_model_fingerprint
from api.runtime import drivers
from api.runtime.background import cancel_all
from api.settings import Settings
from domain.envelope import partition_of
from readside.generations.registry import Generations
from readside.redis_connection.cluster import slot_of
from tests.acceptance.cli import tandem
from tests.acceptance.service import Client, running
from tests.limited import limited
from tests.redis_cluster import RedisCluster, cluster
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id version } }"
RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
USER = "query($id: ID!, $version: Int) { user(id: $id, minVersion: $version) { version } }"
TYPED = {"READ_MODEL_BEHIND", "READ_MODEL_REBUILDING", "READ_MODEL_UNAVAILABLE"}
CLIENTS = 4
CATCHES_UP_WITHIN = 30.0


class Load:
    """Clients that write and read what they wrote, each at least in the version that they know."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._random = random.Random(1)
        self.versions: dict[str, int] = {}
        self.wrong: list[Any] = []
        self.seen = dict.fromkeys(range(PARTITIONS), 0)
        """By partition, how many reads returned a user."""

    async def work(self) -> None:
        while True:
            user = await self.write()
            for id_ in (user, self._random.choice(list(self.versions))):
                await self.read(id_)
            await asyncio.sleep(0.03)

    async def write(self) -> str:
        number = len(self.versions)
        if number < 40 or self._random.random() < 0.3:
            email = f"u{number}-{self._random.random()}@example.com"
            created = await self._client.data(CREATE, input={"name": "A", "email": email})
            id_ = str(created["createUser"]["id"])
            self.versions[id_] = 1
            return id_
        id_ = self._random.choice(list(self.versions))
        name = f"N{self._random.random()}"
        renamed = await self._client.data(RENAME, input={"userId": id_, "name": name})
        version = renamed["renameUser"]["version"]
        self.versions[id_] = max(self.versions[id_], version)
        return id_

    async def read(self, id_: str) -> bool:
        """Returns whether it was answered, and records an answer that is wrong."""
        required = self.versions[id_]
        answer = await self._client.send(USER, id=id_, version=required)
        if "errors" in answer:
            if not {one["extensions"]["code"] for one in answer["errors"]} <= TYPED:
                self.wrong.append(answer)
            return False
        user = answer["data"]["user"]
        if user is None or user["version"] < required:
            self.wrong.append((answer, required))
        self.seen[partition_of(UUID(id_), PARTITIONS)] += 1
        return True

    async def answered(self, partitions: set[int], more: int = 5) -> None:
        """Waits until reads of each of these partitions have returned users: own writes are visible."""
        enough = {number: self.seen[number] + more for number in partitions}
        async with limited(CATCHES_UP_WITHIN):
            while any(self.seen[number] < count for number, count in enough.items()):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def under_load(settings: Settings) -> AsyncIterator[Load]:
    """Clients work inside; on the way out all they wrote is visible, and verify finds no difference."""
    async with running(settings) as client:
        load = Load(client)
        tasks = [asyncio.create_task(load.work()) for _ in range(CLIENTS)]
        try:
            await load.answered(set(range(PARTITIONS)))
            yield load
            await load.answered(set(range(PARTITIONS)))
        finally:
            fallen = [task for task in tasks if task.done()]
            await cancel_all(tasks)
        assert not fallen, fallen
        assert load.wrong == []
        async with limited(CATCHES_UP_WITHIN):
            for id_ in load.versions:
                while not await load.read(id_):
                    await asyncio.sleep(0.05)
        assert load.wrong == []
        verified = await tandem(settings, "verify", "--json")
        assert (verified.status, verified.json["differences"]) == (0, []), verified
        assert verified.json["users"] >= len(load.versions)  # a call may have been cancelled


__all__ = ["cluster"]


@pytest.fixture
def settings(database_url: str, cluster: RedisCluster) -> Settings:
    return Settings(
        database_url=database_url, redis_url=cluster.url, partitions=PARTITIONS, read_timeout=2.0
    )


@pytest.fixture
def replica_settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"read_replicas": "cluster"})


def slot(settings: Settings, partition: int) -> int:
    return slot_of(namespace(settings).partition(partition).stream)


def partitions_on(settings: Settings, cluster: RedisCluster, number: int) -> set[int]:
    """Returns the partitions whose slots a primary has in the beginning."""
    node = cluster.nodes[number]
    return {one for one in range(PARTITIONS) if cluster.node_of(slot(settings, one)) is node}


async def test_while_one_hash_is_elsewhere_it_is_read_there_and_its_events_wait(
    settings: Settings, cluster: RedisCluster
) -> None:
    async with under_load(settings) as load:
        user = next(iter(load.versions))
        partition = partition_of(UUID(user), PARTITIONS)
        moving = slot(settings, partition)
        target = next(node for node in cluster.primaries if node is not cluster.node_of(moving))
        async with drivers.redis_for_functions(settings) as redis:
            names = namespace(settings).partition(partition)
            keys = await Generations(redis, names, read_model_fingerprint(settings)).active()
        assert keys is not None
        await cluster.move_keys(moving, target, keys.document("user", user))
        for _ in range(3):  # a rename that waits is READ_MODEL_BEHIND
            await load.read(user)
        await cluster.finish_move(moving, target)


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_slot_moves_to_a_node_that_joins(
    replica_settings: Settings, cluster: RedisCluster, at_once: bool
) -> None:
    settings = replica_settings
    async with under_load(settings) as load:
        node = await cluster.add()
        await cluster.settled()
        moving = slot(settings, 3)
        if at_once:
            await cluster.move_at_once(moving, node)
        else:
            await cluster.move_keys(moving, node, pause=0.01)
            await cluster.finish_move(moving, node)
        await load.answered({3})
        assert await node.redis.dbsize() > 0


async def test_a_replica_is_promoted_that_has_not_received_the_last_writes(
    replica_settings: Settings, cluster: RedisCluster
) -> None:
    settings = replica_settings
    lost = partitions_on(settings, cluster, 1)
    async with under_load(settings) as load:
        replica = cluster.replica_of(cluster.nodes[1])
        assert replica.process is not None
        os.kill(replica.process.pid, signal.SIGSTOP)
        await load.answered(lost)
        await cluster.nodes[1].kill()
        os.kill(replica.process.pid, signal.SIGCONT)
        await load.answered(set(range(PARTITIONS)) - lost)
        async with limited(20):
            while not await replica.is_primary():
                await asyncio.sleep(0.02)
        await load.answered(lost)


@pytest.mark.parametrize("place", [0, 2])
async def test_without_a_primary_and_its_replica_the_other_partitions_go_on(
    settings: Settings, cluster: RedisCluster, place: int
) -> None:
    """Also those of the first slots, whose owner is as good as any for commands without a key."""
    lost = partitions_on(settings, cluster, place)
    async with under_load(settings) as load:
        gone = [cluster.nodes[place], cluster.replica_of(cluster.nodes[place])]
        for node in gone:
            await node.kill()
        for _ in range(3):
            await load.answered(set(range(PARTITIONS)) - lost)
        status = await tandem(settings, "status")
        assert "Redis does not reply for the partitions" in status.out, status
        for node in gone:
            await node.start()
        await load.answered(lost)
