"""Read your own write, and subscriptions: a reader waits for a version without asking again and again."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from api.runtime import drivers
from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserEvent,
    UserRenamed,
)
from readside.errors import (
    AggregateMissing,
    ChangesNoLongerKept,
    ReadModelBehind,
    ReadModelRebuilding,
)
from readside.projections import users
from readside.queries.pubsub import PubSub
from readside.redis_functions.keys import Partition
from readside.stored_document import HISTORY_LENGTH
from tests.limited import limited
from tests.readside.contents import eventually
from tests.readside.envelopes import order, user_in

if TYPE_CHECKING:
    from api.settings import Settings
    from tests.readside.projection_harness import ProjectionHarness

ALICE = user_in(0, 0)
CHANNEL = Partition(0).changes_channel(ALICE)
CREATED = UserCreated(name="Alice", email="alice@example.com")


async def listened_to(harness: ProjectionHarness) -> set[str]:
    """Returns the users' channels with subscribers."""
    found = await harness.redis.pubsub_channels("tandem:{*")
    return {str(channel) for channel in found}


async def begins_to_wait(harness: ProjectionHarness) -> None:
    async def listening() -> bool:
        return CHANNEL in await listened_to(harness)

    await eventually(listening)


async def test_an_available_version_is_returned_immediately(harness: ProjectionHarness) -> None:
    await harness.given(CREATED, UserRenamed(name="Alicia"))
    row = await users.fetch(harness.reads, ALICE, min_version=2)
    assert row is not None
    assert row.version == 2
    assert await listened_to(harness) == set()


async def test_a_read_waits_for_a_new_version(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    waiting = asyncio.create_task(users.fetch(harness.reads, ALICE, min_version=3))
    await begins_to_wait(harness)
    await harness.given(UserRenamed(name="A"))
    await harness.given(UserRenamed(name="B"))
    row = await waiting
    assert row is not None
    assert (row.version, row.name) == (3, "B")


async def test_a_read_waits_for_a_new_user(harness: ProjectionHarness) -> None:
    waiting = asyncio.create_task(users.fetch(harness.reads, ALICE, min_version=1))
    await begins_to_wait(harness)
    await harness.given(CREATED)
    assert await waiting is not None


async def test_waiting_for_the_erasure_ends_with_none(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    waiting = asyncio.create_task(users.fetch(harness.reads, ALICE, min_version=2))
    await begins_to_wait(harness)
    await harness.given(UserErased())
    assert await waiting is None


async def test_a_missing_version_is_refused_within_the_timeout(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    harness.reads.version_timeout_seconds = 0.1
    async with limited(1):
        with pytest.raises(ReadModelBehind) as refused:
            await users.fetch(harness.reads, ALICE, min_version=2)
    assert (refused.value.required, refused.value.current) == (2, 1)
    assert refused.value.code == "READ_MODEL_BEHIND"


async def test_notifications_of_other_versions_do_not_prolong_the_wait(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED)
    harness.reads.version_timeout_seconds = 0.3
    waiting = asyncio.create_task(users.fetch(harness.reads, ALICE, min_version=10**6))
    async with limited(2):
        while not waiting.done():
            await harness.given(UserRenamed(name="again"))
    with pytest.raises(ReadModelBehind):
        await waiting


async def test_a_version_without_a_notification_is_read_before_the_timeout(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED)
    harness.reads.version_timeout_seconds = 0.3
    waiting = asyncio.create_task(users.fetch(harness.reads, ALICE, min_version=2))
    await begins_to_wait(harness)
    await harness.redis.hset(harness.keys_of(ALICE).document("user", ALICE), "version", "2")
    row = await waiting
    assert row is not None
    assert row.version == 2


async def test_a_waiting_reader_survives_a_broken_connection(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    waiting = asyncio.create_task(users.fetch(harness.reads, ALICE, min_version=2))
    await begins_to_wait(harness)
    assert await harness.redis.client_kill_filter(_type="pubsub") == 1
    await harness.given(UserRenamed(name="without a listener"))
    row = await waiting
    assert row is not None
    assert row.version == 2


def test_a_reader_comes_and_goes_while_the_connection_closes(settings: Settings) -> None:
    """On uvloop, as in production: it refuses to write to such a connection in a way of its own."""

    async def comes_and_goes() -> None:
        async with drivers.redis_for_pubsub(settings) as redis, redis.pubsub() as pubsub:
            changes = PubSub(redis, subscribe_timeout_seconds=0.01)  # there is no subscriber
            await pubsub.subscribe("any")
            vars(changes)["_pubsub"] = pubsub
            writer: Any = pubsub.connection._writer  # noqa: SLF001
            writer.transport.abort()
            await writer.wait_closed()
            async with changes.subscribe("any") as subscription:
                assert not subscription.subscribed.is_set()

    uvloop.run(comes_and_goes())


async def test_repeated_connection_losses_only_delay_a_reader(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    harness.reads.version_timeout_seconds = 8.0
    for version in range(2, 8):
        waiting = [
            asyncio.create_task(users.fetch(harness.reads, ALICE, min_version=version))
            for _ in range(10)
        ]
        await harness.redis.client_kill_filter(_type="pubsub")
        others = [
            asyncio.create_task(users.fetch(harness.reads, user_in(0, n), min_version=1))
            for n in range(5, 8)
        ]
        await begins_to_wait(harness)
        await harness.redis.client_kill_filter(_type="pubsub")
        for other in others:
            other.cancel()
        await harness.given(UserRenamed(name=str(version)))
        rows = await asyncio.gather(*waiting)
        assert [row and row.version for row in rows] == [version] * 10


async def test_a_thousand_waits_leave_nothing(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    tasks = len(asyncio.all_tasks())
    for version in range(2, 12):
        waiting = [
            asyncio.create_task(users.fetch(harness.reads, ALICE, min_version=version))
            for _ in range(90)
        ]
        cancelled = [
            asyncio.create_task(users.fetch(harness.reads, user_in(0, 1 + n), min_version=1))
            for n in range(10)
        ]
        await begins_to_wait(harness)
        for one in cancelled:
            one.cancel()
        await harness.given(UserRenamed(name=str(version)))
        await asyncio.gather(*waiting)
        await asyncio.gather(*cancelled, return_exceptions=True)

    async def silence() -> bool:
        return await listened_to(harness) == set()

    await eventually(silence)
    assert len(asyncio.all_tasks()) == tasks
    clients = await harness.redis.client_list(_type="pubsub")
    assert len(clients) == 1


async def test_a_listener_that_comes_while_the_connection_is_opened_is_subscribed(
    harness: ProjectionHarness,
) -> None:
    harness.reads.version_timeout_seconds = 5.0
    numbers = count(1)
    for _ in range(4):
        await harness.redis.client_kill_filter(_type="pubsub")

        async def none() -> bool:
            return not await harness.redis.client_list(_type="pubsub")

        await eventually(none)
        # The listener is about to connect; readers of other users come at every moment of that.
        waiting = {}
        while not await harness.redis.client_list(_type="pubsub"):
            user = user_in(0, next(numbers))
            waiting[user] = asyncio.create_task(users.fetch(harness.reads, user, min_version=1))
            await asyncio.sleep(0.001)  # some for every moment, and not thousands of them
        wanted = {Partition(0).changes_channel(user) for user in waiting}

        async def all_heard(wanted: set[str] = wanted) -> bool:
            return wanted <= await listened_to(harness)

        await eventually(all_heard, 2)
        for user in waiting:
            await harness.given(CREATED, user=user)
        async with limited(2):
            await asyncio.gather(*waiting.values())


async def test_changes_give_the_present_state_and_each_newer_one(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED)
    changes = users.changes(harness.reads, ALICE)
    first = await anext(changes)
    assert first is not None
    assert first.name == "Alice"
    for name in ("A", "B", "C"):
        await harness.given(UserRenamed(name=name))
        row = await anext(changes)
        assert row is not None
        assert row.name == name
    await changes.aclose()


async def test_changes_of_a_user_that_does_not_exist_begin_with_none_and_wait(
    harness: ProjectionHarness,
) -> None:
    changes = users.changes(harness.reads, ALICE)
    assert await anext(changes) is None
    await harness.given(CREATED)
    row = await anext(changes)
    assert row is not None
    assert row.version == 1
    await changes.aclose()


async def test_changes_of_a_user_that_does_not_exist_end_once_there_is_no_lag(
    harness: ProjectionHarness,
) -> None:
    asked = 0

    async def generation_without_lag(partition: int) -> str | None:
        nonlocal asked
        asked += 1
        return harness.appliers[partition].keys.generation if asked > 3 else None

    harness.reads.generation_without_lag = generation_without_lag
    harness.reads.version_timeout_seconds = 0.05
    for after in (None, 0, 5):
        asked = 0
        changes = users.changes(harness.reads, ALICE, after)
        async with limited(5):
            if after is None:
                assert await anext(changes) is None
            with pytest.raises(AggregateMissing):
                await anext(changes)
        assert asked == 4
    assert await listened_to(harness) == set()


async def test_changes_do_not_end_while_the_lag_is_unknown(harness: ProjectionHarness) -> None:
    harness.reads.version_timeout_seconds = 0.01
    changes = users.changes(harness.reads, ALICE)
    assert await anext(changes) is None
    coming = asyncio.ensure_future(anext(changes))
    await asyncio.wait([coming], timeout=0.2)
    await harness.given(CREATED)
    row = await coming
    assert row is not None
    assert row.version == 1
    await changes.aclose()


@pytest.mark.parametrize("flips", [False, True])
async def test_changes_do_not_end_if_the_user_comes_while_the_lag_is_determined(
    harness: ProjectionHarness, flips: bool
) -> None:
    async def generation_without_lag(partition: int) -> str | None:
        generation = harness.appliers[partition].keys.generation
        if flips:
            await harness.flip(partition)
        else:
            await harness.given(CREATED)
        return generation

    harness.reads.generation_without_lag = generation_without_lag
    harness.reads.version_timeout_seconds = 0.05
    changes = users.changes(harness.reads, ALICE)
    assert await anext(changes) is None
    coming = asyncio.ensure_future(anext(changes))
    await asyncio.wait([coming], timeout=0.3)
    if flips:
        assert not coming.done()
        await harness.given(CREATED)
    row = await coming
    assert row is not None
    assert row.version == 1
    await changes.aclose()


async def test_changes_begin_at_the_required_version(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    changes = users.changes(harness.reads, ALICE, min_version=3)
    coming = asyncio.ensure_future(anext(changes))
    await begins_to_wait(harness)
    await harness.given(UserRenamed(name="A"))
    await harness.given(UserRenamed(name="B"))
    row = await coming
    assert row is not None
    assert (row.version, row.name) == (3, "B")
    await changes.aclose()
    resumed = users.changes(harness.reads, ALICE, 1, min_version=3)
    assert [(row and row.version) for row in [await anext(resumed) for _ in range(2)]] == [2, 3]
    await resumed.aclose()


async def test_changes_whose_required_version_does_not_come_are_refused(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED)
    harness.reads.version_timeout_seconds = 0.1
    async with limited(2):
        with pytest.raises(ReadModelBehind):
            await anext(users.changes(harness.reads, ALICE, min_version=2))


async def test_changes_end_after_the_erasure(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    changes = users.changes(harness.reads, ALICE)
    assert await anext(changes) is not None
    await harness.given(UserErased())
    assert [row async for row in changes] == [None]
    assert [row async for row in users.changes(harness.reads, ALICE)] == [None]


async def test_changes_never_go_back_and_survive_a_lost_user(harness: ProjectionHarness) -> None:
    await harness.given(CREATED, UserRenamed(name="A"))
    changes = users.changes(harness.reads, ALICE)
    assert await anext(changes) is not None
    await harness.redis.delete(harness.keys_of(ALICE).document("user", ALICE))
    coming = asyncio.ensure_future(anext(changes))
    await harness.redis.publish(CHANNEL, "2")  # the read finds no user
    await harness.given(UserRenamed(name="B"))
    row = await coming
    assert row is not None
    assert row.version == 3
    await changes.aclose()


async def test_changes_continue_after_a_lost_connection(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    changes = users.changes(harness.reads, ALICE)
    await anext(changes)
    await harness.redis.client_kill_filter(_type="pubsub")
    await harness.given(UserRenamed(name="A"))
    async with limited(5):
        row = await anext(changes)
    assert row is not None
    assert row.version == 2
    await changes.aclose()


async def test_no_version_is_skipped_in_a_burst(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    changes = users.changes(harness.reads, ALICE)
    await anext(changes)
    for start in range(0, 60, 20):
        await harness.given(*[UserRenamed(name=str(n)) for n in range(start, start + 20)])
        rows = [await anext(changes) for _ in range(20)]
        assert [row and (row.version, row.name) for row in rows] == [
            (n + 2, str(n)) for n in range(start, start + 20)
        ]
    await changes.aclose()


async def test_each_version_is_delivered_as_it_was(harness: ProjectionHarness) -> None:
    placed = order(1), order(2)
    events: list[UserEvent] = [
        UserCreated(name='Ünï "quoted" / 👩‍💻', email="alice@example.com"),
        OrderPlaced(order_id=placed[0], total=1250),
        OrderPlaced(order_id=placed[1], total=10**13),
        UserEmailUpdated(email="a@example.org"),
        OrderCompleted(order_id=placed[1], total=10**13),
        OrderCancelled(order_id=placed[0]),
    ]
    expected = []
    for event in events:
        await harness.given(event)
        expected.append(await users.fetch(harness.reads, ALICE))
    changes = users.changes(harness.reads, ALICE, 0)
    assert [await anext(changes) for _ in events] == expected
    await changes.aclose()


async def test_a_subscription_that_resumes_receives_the_missed_versions(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED, *[UserRenamed(name=str(n)) for n in range(2, 30)])
    changes = users.changes(harness.reads, ALICE, 20)
    rows = [await anext(changes) for _ in range(21, 30)]
    assert [row and (row.version, row.name) for row in rows] == [(n, str(n)) for n in range(21, 30)]
    coming = asyncio.ensure_future(anext(changes))
    await harness.given(UserRenamed(name="30"))
    last = await coming
    assert last is not None
    assert last.version == 30
    await changes.aclose()


async def test_versions_outside_the_history_are_reported_as_no_longer_kept(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED, *[UserRenamed(name=str(n)) for n in range(HISTORY_LENGTH + 10)])
    with pytest.raises(ChangesNoLongerKept) as forgotten:
        await anext(users.changes(harness.reads, ALICE, 10))
    assert forgotten.value.code == "CHANGES_FORGOTTEN"
    oldest = await anext(users.changes(harness.reads, ALICE, 11))
    assert oldest is not None
    assert oldest.version == 12


async def test_another_generation_repeats_no_version_and_skips_none(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED)
    changes = users.changes(harness.reads, ALICE)
    versions = [await anext(changes)]
    for _ in range(4):
        await harness.given(UserRenamed(name="before"), UserRenamed(name="and after"))
        await harness.flip(0)
        await harness.given(UserRenamed(name="the flip"))
        versions += [await anext(changes) for _ in range(3)]
    assert [row and row.version for row in versions] == list(range(1, 14))
    await changes.aclose()


async def test_lost_changes_request_a_resync_of_the_user(
    harness: ProjectionHarness,
) -> None:
    await harness.given(CREATED, UserRenamed(name="A"), UserRenamed(name="B"))
    keys = harness.keys_of(ALICE)
    await harness.redis.delete(keys.owned_key("recent", ALICE))
    with pytest.raises(ReadModelRebuilding):
        await anext(users.changes(harness.reads, ALICE, 1))
    assert await harness.redis.smembers(keys.needs_resync) == {str(ALICE)}
    await harness.applier_for(ALICE).resync_aggregate(ALICE)
    row = await anext(users.changes(harness.reads, ALICE, 1))
    assert row is not None
    assert (row.version, row.name) == (2, "A")


async def test_an_erasure_leaves_nothing_of_the_history(harness: ProjectionHarness) -> None:
    await harness.given(CREATED, UserRenamed(name="A"), UserErased())
    assert not await harness.redis.exists(harness.keys_of(ALICE).owned_key("recent", ALICE))
    assert [row async for row in users.changes(harness.reads, ALICE, 1)] == [None]


async def test_changes_in_an_emptied_redis_end_with_its_error(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    changes = users.changes(harness.reads, ALICE)
    await anext(changes)
    await harness.redis.flushall()
    await harness.redis.publish(CHANNEL, "1")
    with pytest.raises(ReadModelRebuilding):
        await anext(changes)


async def test_closed_changes_leave_nothing(harness: ProjectionHarness) -> None:
    await harness.given(CREATED)
    tasks = len(asyncio.all_tasks())
    for _ in range(20):
        changes = users.changes(harness.reads, ALICE)
        await anext(changes)
        await changes.aclose()

    async def silence() -> bool:
        return await listened_to(harness) == set()

    await eventually(silence)
    assert len(asyncio.all_tasks()) == tasks
