"""Partitions are shared by all projectors of the same code, and none is left when one has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from domain.users.events import UserCreated, UserRenamed
from readside.projection_set import FINGERPRINT
from readside.projector import assignment as sharing
from readside.projector import lease as leasing
from readside.projector import projector as projecting
from readside.projector.assignment import PartitionAssignment, fair_share
from readside.projector.projector import Projector
from readside.queries.pubsub import ChannelSubscription, PubSub
from readside.redis_functions.keys import Namespace
from tests.limited import limited
from tests.readside.envelopes import user_in
from tests.readside.harness import World

RENAMED = UserRenamed(name="B")


@pytest.mark.parametrize(
    ("partitions", "members", "fairly"),
    [(8, 1, [8]), (8, 3, [3, 3, 2]), (8, 8, [1] * 8), (5, 4, [2, 1, 1, 1]), (2, 3, [1, 1, 0])],
)
def test_the_quotas_differ_by_one_at_most_and_add_up(
    partitions: int, members: int, fairly: list[int]
) -> None:
    names = [f"member {number}" for number in range(members)]
    assert [fair_share(partitions, names, name) for name in names] == fairly


def taken(share: PartitionAssignment, *partitions: int) -> list[int]:
    """Takes what is wanted of these; answers what is kept of them."""
    for partition in partitions:
        if share.may_own(partition):
            share.acquired(partition)
    return [partition for partition in partitions if share.may_own(partition)]


async def test_a_lone_process_acquires_all_partitions_before_its_first_renewal(
    world: World,
) -> None:
    share = PartitionAssignment(world.redis, "code", 4)
    assert taken(share, 0, 1, 2, 3) == [0, 1, 2, 3]


async def test_the_last_acquired_partitions_are_released_for_a_new_member(world: World) -> None:
    first, second = (
        PartitionAssignment(world.redis, "code", 4),
        PartitionAssignment(world.redis, "code", 4),
    )
    await first.run_once()
    assert taken(first, 2, 0, 1, 3) == [2, 0, 1, 3]
    await second.run_once()
    await first.run_once()
    assert [partition for partition in range(4) if first.may_own(partition)] == [0, 2]
    first.released(1)
    first.released(3)
    assert not first.may_own(1)
    assert taken(second, 1, 3) == [1, 3]


async def test_a_member_that_left_does_not_count(world: World) -> None:
    first, second = (
        PartitionAssignment(world.redis, "code", 4),
        PartitionAssignment(world.redis, "code", 4),
    )
    await second.run_once()
    await second.leave()
    await first.run_once()
    assert taken(first, 0, 1, 2, 3) == [0, 1, 2, 3]


async def test_a_member_that_does_not_renew_does_not_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "MEMBERSHIP_SECONDS", 0.05)
    first, second = (
        PartitionAssignment(world.redis, "code", 2),
        PartitionAssignment(world.redis, "code", 2),
    )
    await second.run_once()
    async with limited(5):
        while True:
            await first.run_once()
            if taken(first, 0, 1) == [0, 1]:
                return


async def test_other_code_does_not_count(world: World) -> None:
    ours, theirs = (
        PartitionAssignment(world.redis, "ours", 2),
        PartitionAssignment(world.redis, "theirs", 2),
    )
    await theirs.run_once()
    await ours.run_once()
    assert taken(ours, 0, 1) == [0, 1]


async def test_a_redis_clock_that_was_ahead_leaves_no_absent_member(
    world: World,
) -> None:
    await world.redis.zadd(Namespace().projectors("code"), {"somebody": 9e15})
    share = PartitionAssignment(world.redis, "code", 2)
    await share.run_once()
    assert taken(share, 0, 1) == [0, 1]


async def test_leaving_while_redis_is_away_is_no_error(world: World) -> None:
    share = PartitionAssignment(world.redis, "code", 2)
    await world.redis.connection_pool.disconnect()
    world.redis.connection_pool.connection_kwargs["path"] = "/nowhere"
    await share.leave()


async def test_a_projector_releases_partitions_above_its_quota(world: World) -> None:
    ours, theirs = (
        PartitionAssignment(world.redis, "code", 2),
        PartitionAssignment(world.redis, "code", 2),
    )
    async with (
        world.projector(0, share=ours) as zero,
        world.projector(1, share=ours) as one,
        world.projector(0, share=theirs) as other_zero,
        world.projector(1, share=theirs) as other_one,
    ):
        mine, others = (zero, one), (other_zero, other_one)
        await world.settle(*mine, *others)
        assert await owners(world) == 2
        for share in (theirs, ours, theirs):
            await share.run_once()
        await world.settle(*mine)
        assert await owners(world) == 1
        await world.settle(*others)
        assert await owners(world) == 2
        assert [ours.may_own(0), ours.may_own(1)] == [not theirs.may_own(0), not theirs.may_own(1)]


async def owners(world: World) -> int:
    """Returns the number of partitions with an owner."""
    return len([key async for key in world.redis.scan_iter(match="tandem:*:owner:*")])


async def test_two_concurrent_acquisitions_do_not_both_use_the_last_quota(world: World) -> None:
    ours, theirs = (
        PartitionAssignment(world.redis, "code", 2),
        PartitionAssignment(world.redis, "code", 2),
    )
    await world.relay()
    await theirs.run_once()
    await ours.run_once()
    async with world.projector(0, share=ours) as zero, world.projector(1, share=ours) as one:
        await asyncio.gather(zero.run_once(), one.run_once())
        assert await owners(world) == 1


@asynccontextmanager
async def hearing(share: PartitionAssignment, redis_url: str) -> AsyncIterator[None]:
    """It says that it is there once, and again only when it hears something."""

    async def run(words: ChannelSubscription) -> None:
        while True:
            await share.run_once()
            await words.wait(None)

    async with (
        Redis.from_url(redis_url, decode_responses=True) as redis,
        PubSub(redis) as changes,
        changes.subscribe(share.channel) as words,
    ):
        running = asyncio.create_task(run(words))
        try:
            yield
        finally:
            running.cancel()


@pytest.fixture
def only_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases and memberships do not expire, and nothing polls: only notifications remain."""
    monkeypatch.setattr(projecting, "_LEASE_POLL_SECONDS", 60.0)
    monkeypatch.setattr(leasing, "LEASE_SECONDS", 60.0)
    monkeypatch.setattr(sharing, "MEMBERSHIP_SECONDS", 60.0)


def two_for_one(world: World) -> tuple[PartitionAssignment, PartitionAssignment]:
    """That of the only partition there is, and one that has none as long as the first is there."""
    one, two = (
        PartitionAssignment(world.redis, FINGERPRINT, 1),
        PartitionAssignment(world.redis, FINGERPRINT, 1),
    )
    return (one, two) if one.member < two.member else (two, one)


async def taken_up(projector: Projector) -> None:
    """Runs until the projector owns its partition, which only a notification reveals."""
    async with limited(10):
        while not await projector.run_once(wait=60.0):
            pass


async def test_a_waiting_projector_is_notified_when_another_leaves(
    world: World, redis_url: str, only_words: None
) -> None:
    first, second = two_for_one(world)
    await first.run_once()
    async with hearing(second, redis_url), world.projector(0, share=second) as waiting:
        async with world.projector(0, share=first) as working:
            await world.settle(working)
            taking = asyncio.create_task(taken_up(waiting))
            await asyncio.sleep(0)
        await first.leave()
        await taking


async def test_a_new_projector_is_notified_when_another_releases_a_partition(
    world: World, redis_url: str, only_words: None
) -> None:
    first, second = two_for_one(world)
    async with (
        hearing(second, redis_url),
        world.projector(0, share=second) as working,
        world.projector(0, share=first) as coming,
    ):
        await world.settle(working)
        async with hearing(first, redis_url):
            taking = asyncio.create_task(taken_up(coming))
            while not taking.done():
                await working.run_once()
            await taking


async def test_a_rebuild_is_finished_though_the_quota_shrinks(world: World) -> None:
    ours, others = (
        PartitionAssignment(world.redis, "code", 1),
        [PartitionAssignment(world.redis, "code", 1) for _ in range(9)],
    )
    world.commit(user_in(0), UserCreated(name="A", email="a@b.example"), *[RENAMED] * 9)
    async with world.projector(0, share=ours) as projector:

        async def others_come() -> None:
            while ours.may_own(0):
                for share in [*others, ours]:
                    await share.run_once()
                others.append(PartitionAssignment(world.redis, "code", 1))

        world.log.while_paging = others_come
        await world.settle(projector)
        assert not ours.may_own(0)
        assert await world.serving() is not None
        assert await owners(world) == 0


async def test_while_memberships_cannot_be_renewed_the_leases_alone_decide(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The members are on one node of a cluster, which may be lost while other partitions are served."""
    ours, theirs = (
        PartitionAssignment(world.redis, "code", 2),
        PartitionAssignment(world.redis, "code", 2),
    )
    await theirs.run_once()
    await ours.run_once()
    await world.redis.set(ours.channel, "no set of members")
    with pytest.raises(ResponseError):
        await ours.run_once()
    assert len(taken(ours, 0, 1)) == 1
    monkeypatch.setattr(sharing, "MEMBERSHIP_SECONDS", 0.0)
    with pytest.raises(ResponseError):
        await ours.run_once()
    assert taken(ours, 0, 1) == [0, 1]
