"""A backlog too long for one append is carried in pages."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from domain.log import relay as module
from tests.domain.log.relay_harness import RelayHarness, settle, user_in, write

LIMIT = 4


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_APPEND_EVENTS", LIMIT)


@pytest.mark.parametrize("count", [LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT, 3 * LIMIT + 1])
async def test_a_backlog_of_any_length_is_carried_once_in_appends_of_limited_size(
    harness: RelayHarness, count: int
) -> None:
    relay = await harness.started()
    users = [user_in(3), user_in(3), user_in(6)]
    for version in range(1, count + 1):
        for user_id in users:
            await write(harness.model.pool, user_id, version)
    await settle(relay)
    await harness.assert_all_is_published()
    assert max(harness.stream.sizes) <= LIMIT


async def test_a_backlog_is_taken_up_by_another_relay_where_the_first_left_it(
    harness: RelayHarness,
) -> None:
    await harness.started()
    user_id = user_in(3)
    for version in range(1, 6 * LIMIT):
        await write(harness.model.pool, user_id, version)
    passes = 0
    while await harness.relay().run_once():
        passes += 1
    assert passes >= 5
    await harness.assert_all_is_published()


async def test_what_is_written_while_a_backlog_is_carried_follows_it(harness: RelayHarness) -> None:
    relay = await harness.started()
    old, new = user_in(3), user_in(3)
    for version in range(1, 4 * LIMIT):
        await write(harness.model.pool, old, version)
    version = 0
    while await relay.run_once():
        if version < 10:
            version += 1
            await write(harness.model.pool, new, version)
    assert version >= 3
    await settle(relay)
    await harness.assert_all_is_published()


async def test_what_commits_while_a_backlog_is_carried_is_not_lost(harness: RelayHarness) -> None:
    relay = await harness.started()
    backlog = user_in(3)
    async with AsyncExitStack() as stack:
        for number in range(3 * LIMIT):
            slow = await stack.enter_async_context(harness.transaction())
            await write(slow, user_in(3), 1)
            await write(harness.model.pool, backlog, number + 1)
        await relay.run_once()
    await settle(relay)
    assert len(harness.stream.all) == 6 * LIMIT
    await harness.assert_all_is_published()
    assert max(harness.stream.sizes) <= LIMIT


async def test_many_that_commit_late_are_a_backlog_too_with_what_came_after_them(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    async with AsyncExitStack() as stack:
        for _ in range(3 * LIMIT):
            slow = await stack.enter_async_context(harness.transaction())
            await write(slow, user_in(3), 1)
        await write(harness.model.pool, user_in(3), 1)
        await settle(relay)
        await write(harness.model.pool, user_in(3), 1)
    await settle(relay)
    await harness.assert_all_is_published()
    assert max(harness.stream.sizes) <= LIMIT


async def test_a_backlog_of_one_partition_does_not_hold_back_another(harness: RelayHarness) -> None:
    relay = await harness.started()
    busy, quick = user_in(3), user_in(6)
    for version in range(1, 6 * LIMIT):
        await write(harness.model.pool, busy, version)
    await relay.run_once()
    await write(harness.model.pool, quick, 1)
    await relay.run_once()
    assert harness.stream.versions(quick) == [1]
    assert len(harness.stream.versions(busy)) < 6 * LIMIT - 1


async def test_a_user_keeps_its_order_over_pages_whatever_the_numbers_of_its_transactions(
    harness: RelayHarness,
) -> None:
    relay = await harness.started()
    user_id = user_in(3)
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(harness.transaction()) for _ in range(12)]
        for version, connection in enumerate(reversed(slow), start=1):
            await write(connection, user_id, version)
    await settle(relay)
    await harness.assert_all_is_published()
