"""The pages of a rebuild: user by user, bounded, and complete whatever the log has been through."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING
from uuid import UUID

from domain.envelope import partition_of
from domain.log.event_log import EventLog
from domain.users.commands.rename_user import RenameUser
from domain.users.events import UserId
from readside.event_source import history_pages
from tests.domain.write_model import PARTITIONS

if TYPE_CHECKING:
    from tests.domain.write_model import WriteModel

Told = list[tuple[UUID, int]]


async def told(model: WriteModel, user: UserId, size: int, after: int = 0) -> list[Told]:
    """The pages of that user's partition: whose events they are, and their versions."""
    log, partition = EventLog(model.pool), partition_of(user, PARTITIONS)
    pages = log.events_by_aggregate(partition, size, after)
    return [[(one.aggregate_id, one.version) for one in page] async for _, page in pages]


async def two_lives(model: WriteModel) -> tuple[UserId, UserId]:
    """Of two users in one partition; what happened to them alternates."""
    first = await model.user()
    second = first
    number = 0
    while first == second:
        number += 1
        user = await model.user(address=f"{number}@example.com")
        if partition_of(user, PARTITIONS) == partition_of(first, PARTITIONS):
            second = user
    for name in "abc":
        await model.ask(RenameUser(user_id=first, name=name))
        await model.ask(RenameUser(user_id=second, name=name))
    return first, second


def life(user: UserId, *versions: int) -> Told:
    return [(user, version) for version in versions]


async def test_each_user_comes_whole_though_the_log_has_them_alternating(model: WriteModel) -> None:
    first, second = await two_lives(model)
    [page] = [page for page in await told(model, first, 1000) if page]
    assert page == life(first, 1, 2, 3, 4) + life(second, 1, 2, 3, 4)


async def test_a_life_that_is_longer_than_a_page_comes_in_several(model: WriteModel) -> None:
    first, second = await two_lives(model)
    pages = await told(model, first, 3)
    assert max(map(len, pages)) == 3
    assert [*chain(*pages)] == life(first, 1, 2, 3, 4) + life(second, 1, 2, 3, 4)


async def test_reading_on_from_a_page_returns_all_events_not_yet_returned(
    model: WriteModel,
) -> None:
    first, second = await two_lives(model)
    log, partition = EventLog(model.pool), partition_of(first, PARTITIONS)
    everything = life(first, 1, 2, 3, 4) + life(second, 1, 2, 3, 4)
    before: Told = []
    reached = 0
    async for position, page in log.events_by_aggregate(partition, 3):
        before += [(one.aggregate_id, one.version) for one in page]
        if position == reached:
            continue  # all these would come again
        reached = position
        assert [*before, *chain(*await told(model, first, 3, position))] == everything


async def test_a_user_whose_first_event_the_log_has_lost_comes_as_well(model: WriteModel) -> None:
    first, second = await two_lives(model)
    await model.pool.execute("delete from events where user_id = $1 and version = 1", first)
    found = [*chain(*await told(model, first, 1000))]
    assert sorted(found) == sorted(life(first, 2, 3, 4) + life(second, 1, 2, 3, 4))


async def test_a_skipped_event_is_marked(model: WriteModel) -> None:
    first, _ = await two_lives(model)
    await model.pool.execute("insert into skipped values ($1, 2, 'nobody knows')", first)
    pages = EventLog(model.pool).events_by_aggregate(partition_of(first, PARTITIONS), 1000)
    events = [one async for _, page in pages for one in page]
    assert [(one.aggregate_id, one.version) for one in events if one.skipped] == [(first, 2)]


async def test_the_lives_of_some_users_come_user_by_user_in_pages(model: WriteModel) -> None:
    first, second = await two_lives(model)
    log = EventLog(model.pool)
    pages = [page async for page in log.events_of([second, first], 3)]
    assert [len(page) for page in pages] == [3, 3, 2]
    found = [(one.aggregate_id, one.version) for one in chain(*pages)]
    assert found == life(first, 1, 2, 3, 4) + life(second, 1, 2, 3, 4)


async def test_a_history_is_read_in_pages_up_to_the_newest_event(model: WriteModel) -> None:
    first, _ = await two_lives(model)
    log = EventLog(model.pool)
    assert [one.version for one in await log.history(first, 1, 2)] == [2, 3]
    assert [one.version async for page in history_pages(log, first, 1) for one in page] == [2, 3, 4]
    newest = await log.newest(first)
    assert newest is not None
    assert (newest.version, newest.type) == (4, "UserRenamed")
    assert await log.newest(UserId(UUID(int=1))) is None


async def test_users_are_counted_by_their_first_event(model: WriteModel) -> None:
    first, _ = await two_lives(model)
    log, partition = EventLog(model.pool), partition_of(first, PARTITIONS)
    everywhere = await model.pool.fetchval("select count(*) from users")
    assert await log.count_aggregates([partition]) == 2
    assert await log.count_aggregates(range(PARTITIONS)) == everywhere
    assert await log.count_aggregates([]) == 0
