"""One node of a cluster that hangs, is full, refuses or leaves concerns its own partitions alone."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from api.cli.checks import redis as check_redis
from api.observability import probe
from api.observability.pipeline import Pipeline
from api.observability.redis_primary import read_server_info
from api.roles import namespace, read_model_fingerprint
from api.runtime import drivers
from api.settings import Settings
from domain.log.relay import StreamAppend
from readside.queries.pubsub import PubSub
from readside.redis_connection.cluster import slot_of
from readside.redis_connection.encoding import pack
from readside.redis_functions.functions import Functions
from readside.redis_functions.stream import RedisStream
from tests.limited import limited
from tests.processes import HOST
from tests.readside.redis_connection.tls import behind_tls, self_signed
from tests.redis_cluster import PRIMARIES, RedisCluster, cluster, redis_cluster
from tests.stores import PARTITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.redis_cluster import ClusterNode

__all__ = ["cluster"]


@pytest.fixture
def settings(cluster: RedisCluster) -> Settings:
    return Settings(
        database_url="postgresql://127.0.0.1:1/none",
        redis_url=cluster.url,
        partitions=PARTITIONS,
        read_timeout=2.0,
    )


def partitions_of(settings: Settings, cluster: RedisCluster, node: ClusterNode) -> set[int]:
    names = [namespace(settings).partition(number).stream for number in range(PARTITIONS)]
    return {at for at, name in enumerate(names) if cluster.node_of(slot_of(name)) is node}


async def test_a_node_that_is_full_or_refuses_functions_stops_its_own_partitions_alone(
    settings: Settings, cluster: RedisCluster
) -> None:
    node = cluster.primaries[1]
    async with drivers.redis_for_relay(settings) as redis:
        names = namespace(settings)
        stream = RedisStream(redis, names)
        for number in range(PARTITIONS):
            await stream.reset(number, None, b"0")
        await node.command("CONFIG SET", "maxmemory", 1)
        appends = [
            StreamAppend(partition=number, expected=b"0", cursor=b"1", entries=[b"{}"])
            for number in range(PARTITIONS)
        ]
        done = await stream.append(appends)
        full = {number for number, reply in enumerate(done) if isinstance(reply, Exception)}
        assert full == partitions_of(settings, cluster, node)
        assert {done[number] for number in range(PARTITIONS) if number not in full} == {True}

        await cluster.empty()  # functions too, and a full node refuses FUNCTION LOAD
        await Functions(redis, names).load()
        done = await stream.append(appends)
        lost = {number for number, reply in enumerate(done) if isinstance(reply, Exception)}
        assert lost == full

        await node.command("CONFIG SET", "maxmemory", 0)
        assert not any(isinstance(reply, Exception) for reply in await stream.append(appends))


async def test_every_primary_is_checked_for_eviction_and_coverage(
    settings: Settings, cluster: RedisCluster
) -> None:
    node = cluster.primaries[2]
    async with drivers.redis_for_monitoring(settings) as redis:
        assert (await read_server_info(redis)).unsuitable is None
        await node.command("CONFIG SET", "maxmemory-policy", "allkeys-lru")
        assert "allkeys-lru" in ((await read_server_info(redis)).unsuitable or "")
        await node.command("CONFIG SET", "maxmemory-policy", "noeviction")

        assert not [
            one for one in await check_redis.check(redis, settings) if "coverage" in one.what
        ]
        await node.command("CONFIG SET", "cluster-require-full-coverage", "yes")
        found = [one for one in await check_redis.check(redis, settings) if "coverage" in one.what]
        assert [one.level for one in found] == ["wrong"]
        assert "set it to no on every node" in found[0].says


@pytest.mark.parametrize("place", [0, 2])
async def test_the_status_of_the_other_partitions_is_known_while_a_host_hangs(
    settings: Settings, cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Twice the time limit, for a busy machine, is still less than a hanging connection attempt takes."""
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 1.8)
    for node in cluster.nodes:
        await node.command("CONFIG SET", "cluster-node-timeout", 60_000)
    hanging = cluster.primaries[place]
    async with drivers.redis_for_monitoring(settings) as redis:
        pool: Any = asyncpg.create_pool(settings.database_url, min_size=0)
        pipeline = Pipeline(
            pool,
            redis,
            partitions=PARTITIONS,
            fingerprint=read_model_fingerprint(settings),
            namespace=namespace(settings),
            max_age_seconds=0.0,
        )
        await Functions(redis, namespace(settings)).load()
        hanging.pause()
        try:
            for _ in range(2):
                status = await pipeline.status(time.monotonic())
                assert status.redis_error is None
                lost = {view.number for view in status.partitions if view.status is None}
                assert lost == partitions_of(settings, cluster, hanging)
        finally:
            hanging.resume()


async def test_connections_to_a_node_that_has_left_are_closed_and_subscriptions_go_elsewhere(
    settings: Settings, cluster: RedisCluster
) -> None:
    async with (
        drivers.redis_for_pubsub(settings) as redis,
        PubSub(redis, namespace=namespace(settings)) as pubsub,
        pubsub.subscribe("tandem:{0}:changed:x") as subscription,
    ):
        leaving = await subscribed_at(cluster)
        if await leaving.is_primary():
            replica = cluster.replica_of(leaving)
            await replica.command("CLUSTER FAILOVER")
            async with limited(20):
                while not await replica.is_primary() or await leaving.is_primary():
                    await asyncio.sleep(0.02)
        await cluster.settled()
        others = [node for node in cluster.nodes if node is not leaving]
        for node in others:
            await node.command("CLUSTER FORGET", leaving.id)
        async with limited(20):
            while (await subscribed_at(cluster, *others)) is leaving:
                await asyncio.sleep(0.05)
            assert await leaving.command("PUBSUB NUMSUB", "tandem:{0}:changed:x") == [
                ("tandem:{0}:changed:x", 0)
            ]
            await subscription.wait(0)
            await others[0].command("PUBLISH", "tandem:{0}:changed:x", "1")
            assert await subscription.wait(5)


async def test_reads_functions_and_subscriptions_use_tls_and_a_user_at_every_node(
    tmp_path: Path,
) -> None:
    """Not `tls-cluster`, which is between nodes: the Valkey of the tests is built without TLS."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(self_signed())
    rules = (
        "on",
        ">s/cret",
        "~tandem:*",
        "&tandem:*",
        "+@all",
        "-@dangerous",
        "+info",
        "+function",
    )
    async with redis_cluster(behind_proxy=True) as nodes, AsyncExitStack() as stack:
        for node in nodes.nodes:
            await node.command("ACL SETUSER", "service", *rules)
            await node.command("ACL SETUSER", "default", "resetpass", "-@all", "+ping")
            connect = partial(asyncio.open_connection, HOST, node.port)
            await stack.enter_async_context(behind_tls(connect, certificate, node.client_port))
        hosts = nodes.url_for_clients.partition("://")[2]
        tls = f"ssl_ca_certs={certificate}&ssl_check_hostname=false"
        url = f"rediss://service:s%2Fcret@{hosts}&{tls}"
        settings = Settings(redis_url=url, partitions=PARTITIONS, read_timeout=5.0)
        names = namespace(settings)
        streams = [names.partition(number).stream for number in range(PARTITIONS)]
        cursors = [names.partition(number).cursor for number in range(PARTITIONS)]
        async with (
            drivers.redis_for_relay(settings) as relay,
            drivers.connection_for_reads(settings) as reads,
            drivers.redis_for_pubsub(settings) as listening,
            PubSub(listening, namespace=names) as pubsub,
            pubsub.subscribe(names.wake_channel) as subscription,
        ):
            for number in range(PARTITIONS):
                assert await RedisStream(relay, names).reset(number, None, b"0")
            assert await reads.send([pack(("GET", name)) for name in cursors]) == ["0"] * PARTITIONS
            assert len({nodes.node_of(slot_of(name)) for name in streams}) == PRIMARIES
            await subscription.wait(0)
            await relay.publish(names.wake_channel, "1")
            assert await subscription.wait(5)


async def subscribed_at(cluster: RedisCluster, *nodes: ClusterNode) -> ClusterNode:
    """Waits until one of these nodes, or of all, has the subscription, and returns it."""
    async with limited(20):
        while True:
            for node in nodes or cluster.nodes:
                [[_, number]] = await node.command("PUBSUB NUMSUB", "tandem:{0}:changed:x")
                if number:
                    return node
            await asyncio.sleep(0.02)
