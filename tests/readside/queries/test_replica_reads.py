"""Reads from replicas: from a current one, never of an older state, and otherwise from the primary."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError

from api.runtime import drivers
from api.settings import Settings
from domain.users.events import UserCreated, UserErased, UserRenamed
from readside.errors import ReadModelRebuilding, ReadModelUnavailable
from readside.projection_set import FINGERPRINT
from readside.projections import user_list, users, users_by_email
from readside.queries.page_request import PageRequest
from readside.queries.pubsub import PubSub
from readside.queries.reader import ReadModel
from readside.queries.replica_reads import ReplicaReadModel
from readside.redis_connection.cluster import slot_of
from readside.redis_functions.keys import Partition
from tests.limited import limited
from tests.readside.envelopes import PARTITIONS, located, user_in
from tests.readside.harness import World
from tests.readside.projection_harness import ProjectionHarness
from tests.redis_cluster import RedisCluster, cluster
from tests.replica import Replica, replica_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

    from domain.users.events import UserId

ALICE, BOB = user_in(0, 0), user_in(1, 0)
CREATED = UserCreated(name="Alice", email="alice@example.com")
BOB_CREATED = UserCreated(name="Bob", email="bob@example.com")
PAGE = PageRequest[str](10)

__all__ = ["cluster"]


@pytest.fixture
async def replica(redis: Redis) -> AsyncIterator[Replica]:
    async with replica_of(redis) as replica:
        yield replica


@asynccontextmanager
async def replica_reads(
    settings: Settings, changes: PubSub, replicas: str
) -> AsyncIterator[ReadModel]:
    settings = settings.model_copy(update={"read_replicas": replicas})
    async with (
        drivers.connection_for_reads(settings) as primary,
        drivers.replica_connections(settings) as connections,
    ):
        yield ReplicaReadModel(
            connections, primary, changes, partitions=PARTITIONS, fingerprint=FINGERPRINT
        )


@pytest.fixture
async def reads(settings: Settings, changes: PubSub, replica: Replica) -> AsyncIterator[ReadModel]:
    async with replica_reads(settings, changes, replica.url) as reads:
        yield reads


async def calls(server: Redis) -> int:
    """Returns how often the server has executed the command that ends each read."""
    found = await server.info("commandstats")
    return int(found.get("cmdstat_hget", {}).get("calls", 0))


async def version_of(reads: ReadModel, user: UserId, min_version: int = 0) -> int:
    row = await users.fetch(reads, user, min_version=min_version)
    assert row is not None
    return row.version


async def become_current(
    harness: ProjectionHarness, user: UserId = ALICE, *, primary: Redis | None = None
) -> None:
    """Reads until a read needs no primary."""
    async with limited(10):
        while True:
            before = await calls(primary or harness.redis)
            await version_of(harness.reads, user)
            if await calls(primary or harness.redis) == before:
                return
            await asyncio.sleep(0.01)


async def test_reads_do_not_need_the_primary_while_a_replica_is_current(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await harness.given(BOB_CREATED, user=BOB)
    await become_current(harness)
    await become_current(harness, BOB)
    before, at_replica = await calls(harness.redis), await calls(replica.redis)
    for _ in range(20):
        assert await version_of(harness.reads, ALICE) == 1
        assert [row.id for row in await users.find(harness.reads, [BOB])] == [str(BOB)]
        rows = await users.fetch_many(harness.reads, located(ALICE, BOB))
        assert [row.name for row in rows] == ["Alice", "Bob"]
    assert await calls(harness.redis) - before <= 2 * PARTITIONS  # once a second
    assert await calls(replica.redis) - at_replica > 60


async def test_what_was_read_of_a_user_is_never_older_afterwards(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await become_current(harness)
    await replica.detach()
    await harness.given(UserRenamed(name="Alicia"))
    assert await version_of(harness.reads, ALICE, min_version=2) == 2
    for _ in range(20):
        await asyncio.sleep(0.01)  # so that the replica is compared between two reads
        assert await version_of(harness.reads, ALICE) == 2
        [row] = await users.fetch_many(harness.reads, located(ALICE))
        assert row.version == 2
        [row] = await users.find(harness.reads, [ALICE])
        assert row.version == 2
    await replica.follow()
    await become_current(harness)
    assert await version_of(harness.reads, ALICE) == 2


async def test_a_read_in_flight_at_the_replica_is_repeated_if_a_newer_one_has_ended(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await become_current(harness)
    await replica.detach()
    await harness.given(UserRenamed(name="Alicia"))
    replica.send_signal(signal.SIGSTOP)
    late = asyncio.create_task(version_of(harness.reads, ALICE))
    await asyncio.sleep(0)
    assert await version_of(harness.reads.primary, ALICE) == 2
    replica.send_signal(signal.SIGCONT)
    assert await late == 2


async def test_a_replica_that_stays_behind_is_not_read_for_longer_than_a_second(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await become_current(harness)
    await replica.detach()
    await harness.given(UserRenamed(name="Alicia"))
    async with limited(1.5):
        while await version_of(harness.reads, ALICE) < 2:
            await asyncio.sleep(0.02)


async def test_a_user_whom_the_replica_does_not_have_yet_is_found(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await harness.given(BOB_CREATED, user=BOB)
    await become_current(harness)
    await become_current(harness, BOB)
    await replica.detach()
    carol = await harness.given(
        UserCreated(name="Carol", email="carol@example.com"), user=user_in(1, 1)
    )
    assert await users_by_email.find(harness.reads, "carol@example.com") == [carol]
    assert await version_of(harness.reads, carol) == 1
    dave = await harness.given(
        UserCreated(name="Dave", email="dave@example.com"), user=user_in(0, 1)
    )
    assert await version_of(harness.reads, dave) == 1
    assert [row.id for row in await users.find(harness.reads, [dave])] == [str(dave)]
    page = await user_list.page(harness.reads, PAGE)
    assert len(page.ids) == len(await users.fetch_many(harness.reads, page.ids)) == 4


async def test_an_erased_user_is_not_found_again_by_a_process_that_has_not_found_it(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await become_current(harness)
    await replica.detach()
    await harness.given(UserErased())
    assert await users.fetch(harness.reads, ALICE, min_version=2) is None
    for _ in range(20):
        assert await users.fetch(harness.reads, ALICE) is None
        assert await users.find(harness.reads, [ALICE]) == []


async def test_lists_never_mix_generations_while_the_replica_has_the_old_pointers(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await harness.given(BOB_CREATED, user=BOB)
    await become_current(harness)
    await become_current(harness, BOB)
    before = await user_list.page(harness.reads, PAGE)
    await replica.detach()
    for flipped in (0, 1, 0):
        old = harness.appliers[flipped].keys.prefix
        await harness.flip(flipped)
        await harness.redis.delete(*await harness.redis.keys(f"{old}:*"))
        assert await version_of(harness.reads.primary, (ALICE, BOB)[flipped]) == 1
        page = await user_list.page(harness.reads, PAGE)
        assert page == before
        rows = await users.fetch_many(harness.reads, page.ids)
        assert sorted(row.name for row in rows) == ["Alice", "Bob"]


async def test_no_read_misses_a_user_while_generations_are_replaced_and_removed(
    world: World, reads: ReadModel
) -> None:
    world.commit(ALICE, CREATED)
    await world.build()

    async def replace() -> None:
        for _ in range(10):
            old = await world.serving()
            assert old is not None
            async with world.projector() as projector:
                await world.redis.xgroup_destroy(old.partition.stream, old.generation)
                await world.settle(projector)
            await world.generations().remove(old)

    replacing = asyncio.create_task(replace())
    while not replacing.done():
        assert await version_of(reads, ALICE) == 1
        assert list((await user_list.page(reads, PAGE)).ids) == [str(ALICE)]
    await replacing


async def test_no_reader_goes_back_while_versions_are_applied(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await become_current(harness)
    applied, ended = 1, 0
    before = await calls(replica.redis)

    async def look(number: int) -> None:
        nonlocal ended
        chance = random.Random(number)
        while applied < 300:
            at_least = ended
            needed = applied if chance.random() < 0.1 else 0
            version = await version_of(harness.reads, ALICE, min_version=needed)
            assert version >= max(at_least, needed)
            ended = max(ended, version)

    readers = [asyncio.create_task(look(number)) for number in range(4)]
    while applied < 300:
        await harness.given(UserRenamed(name=f"Alice {applied}"))
        applied += 1
    await asyncio.gather(*readers)
    assert await calls(replica.redis) > before + 300


async def test_an_endpoint_that_leads_to_another_replica_is_compared_again(
    harness: ProjectionHarness,
    replica: Replica,
    settings: Settings,
    changes: PubSub,
    tmp_path: Path,
) -> None:
    await harness.given(CREATED)
    endpoint = tmp_path / "reader"
    endpoint.symlink_to(replica.socket)
    async with (
        replica_of(harness.redis) as behind,
        replica_reads(settings, changes, f"unix://{endpoint}") as reads,
    ):
        await behind.detach()
        await harness.given(UserRenamed(name="Alicia"))
        await replica.catch_up()
        harness.reads = reads
        await become_current(harness)
        endpoint.unlink()
        endpoint.symlink_to(behind.socket)
        await replica.redis.client_kill_filter(_type="normal", skipme=True)
        for _ in range(50):
            assert await version_of(reads, ALICE) == 2


async def test_a_replica_that_loads_or_has_lost_its_primary_is_not_read(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await become_current(harness)
    await replica.redis.config_set("replica-serve-stale-data", "no")
    await replica.redis.replicaof("127.0.0.1", "1")  # no server there: MASTERDOWN
    assert await version_of(harness.reads, ALICE) == 1
    for number in range(100):
        await harness.redis.set(f"large:{number}", random.Random(number).randbytes(4096))
    await replica.redis.config_set("loading-process-events-interval-bytes", 1024)
    await replica.redis.config_set("key-load-delay", 20_000)
    await replica.redis.config_set("replica-serve-stale-data", "yes")
    await replica.redis.replicaof("NO", "ONE")  # so that all is sent again
    await replica.follow(wait=False)
    async with limited(20):
        while not await replica.has_everything():
            assert await version_of(harness.reads, ALICE) == 1
    assert "errorstat_LOADING" in await replica.redis.info("errorstats")
    await replica.redis.config_set("key-load-delay", 0)
    await replica.catch_up()
    await become_current(harness)


@pytest.mark.parametrize("cause", [signal.SIGKILL, signal.SIGSTOP])
async def test_without_a_replica_that_replies_the_primary_is_read_in_time(
    harness: ProjectionHarness, replica: Replica, cause: signal.Signals
) -> None:
    await harness.given(CREATED)
    await harness.given(BOB_CREATED, user=BOB)
    await become_current(harness)
    await become_current(harness, BOB)
    replica.send_signal(cause)
    async with limited(1.0):
        assert await version_of(harness.reads, ALICE) == 1
        assert len((await user_list.page(harness.reads, PAGE)).ids) == 2
    async with limited(0.5):
        for _ in range(100):
            assert await version_of(harness.reads, ALICE) == 1
    if cause is signal.SIGSTOP:
        replica.send_signal(signal.SIGCONT)
        await become_current(harness)


async def test_a_resync_is_requested_from_the_primary_for_what_is_missing_there(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await become_current(harness)
    keys = harness.keys_of(ALICE)
    await harness.redis.delete(keys.document("user", ALICE))
    await replica.catch_up()
    with pytest.raises(ReadModelRebuilding):
        await users.find(harness.reads, [ALICE])
    assert await harness.redis.smembers(keys.needs_resync) == {str(ALICE)}


async def test_a_subscription_gets_each_version_when_it_is_applied_though_the_replica_is_behind(
    harness: ProjectionHarness, replica: Replica
) -> None:
    await harness.given(CREATED)
    await become_current(harness)
    await replica.detach()
    async with limited(4):  # before it reads without a notification
        changes = users.changes(harness.reads, ALICE)
        row = await anext(changes)
        for version in (2, 3):
            await harness.given(UserRenamed(name=f"Alice {version}"))
            row = await anext(changes)
            assert row is not None
            assert row.version == version
        await changes.aclose()


async def test_the_replicas_of_a_cluster_are_read_while_slots_move_and_primaries_die(
    cluster: RedisCluster,
) -> None:
    settings = Settings(redis_url=cluster.url, partitions=PARTITIONS, read_timeout=2.0)
    slot = slot_of(Partition(0).generations)
    primary, others = cluster.node_of(slot), cluster.primaries
    replica = cluster.replica_of(primary)
    target = next(node for node in others if node is not primary)
    async with (
        drivers.redis_for_functions(settings) as redis,
        drivers.redis_for_pubsub(settings) as channels,
        PubSub(channels) as changes,
        replica_reads(settings, changes, "cluster") as reads,
    ):
        harness = ProjectionHarness(redis, reads)
        await harness.begin()
        await harness.given(CREATED)
        await become_current(harness, primary=primary.redis)
        before = await calls(replica.redis)
        assert await version_of(reads, ALICE) == 1
        assert await calls(replica.redis) > before

        keys = harness.keys_of(ALICE)
        await cluster.move_keys(slot, target, keys.document("user", ALICE), keys.index("users"))
        for _ in range(20):
            assert await version_of(reads, ALICE) == 1
            assert list((await user_list.page(reads, PAGE)).ids) == [str(ALICE)]
        await cluster.finish_move(slot, target)
        await become_current(harness, primary=target.redis)

        await target.kill()
        async with limited(20):
            while not await cluster.replica_of(target).is_primary():
                await asyncio.sleep(0.02)
        async with limited(5):
            while True:
                try:
                    assert await version_of(reads, ALICE) == 1
                    await redis.hgetall(keys.counters)
                    break
                except (ReadModelUnavailable, RedisError):
                    await asyncio.sleep(0.02)
        await harness.given(UserRenamed(name="Alicia"))
        assert await version_of(reads, ALICE, min_version=2) == 2
