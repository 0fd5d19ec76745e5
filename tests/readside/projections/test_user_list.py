"""All users, newest first, in pages."""

from __future__ import annotations

from uuid import UUID

from domain.users.events import UserCreated, UserErased, UserId, UserRenamed
from readside.projections import user_list
from readside.queries.page_request import PageRequest
from tests.readside.envelopes import located, user_in
from tests.readside.projection_harness import ProjectionHarness


def texts(people: list[UserId]) -> list[str]:
    return [str(user) for user in people]


async def made(harness: ProjectionHarness, count: int) -> list[UserId]:
    """So many users over all partitions, newest first."""
    people = sorted((user_in(number % 2, number // 2) for number in range(count)), reverse=True)
    for number, user in enumerate(people):
        await harness.given(UserCreated(name=f"{number}", email=f"{number}@example.com"), user=user)
    return people


async def pages(harness: ProjectionHarness, size: int) -> list[list[str]]:
    found: list[list[str]] = []
    after, more = None, True
    while more:
        page = await user_list.page(harness.reads, PageRequest(size, after))
        found.append(list(page.ids))
        after, more = UUID(found[-1][-1]), page.has_more
    return found


async def test_without_users_there_is_one_empty_page(harness: ProjectionHarness) -> None:
    page = await user_list.page(harness.reads, PageRequest(10))
    assert (page.ids, page.has_more) == ({}, False)
    assert await user_list.count(harness.reads) == 0


async def test_the_newest_come_first_whatever_their_partition(harness: ProjectionHarness) -> None:
    people = await made(harness, 6)
    page = await user_list.page(harness.reads, PageRequest(10))
    assert list(page.ids.items()) == list(located(*people).items())
    assert not page.has_more
    assert await user_list.count(harness.reads) == 6


async def test_pages_of_any_size_contain_each_user_once(harness: ProjectionHarness) -> None:
    people = await made(harness, 7)
    for size in (1, 2, 3, 6, 7, 8):
        found = await pages(harness, size)
        assert [user for page in found for user in page] == texts(people)
        assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)


async def test_a_page_that_ends_with_the_oldest_user_has_no_next(
    harness: ProjectionHarness,
) -> None:
    people = await made(harness, 4)
    page = await user_list.page(harness.reads, PageRequest(2, people[1]))
    assert (list(page.ids), page.has_more) == (texts(people[2:]), False)


async def test_a_page_continues_after_a_user_who_was_erased_meanwhile(
    harness: ProjectionHarness,
) -> None:
    people = await made(harness, 5)
    await harness.given(UserErased(), user=people[1])
    page = await user_list.page(harness.reads, PageRequest(2, people[1]))
    assert list(page.ids) == texts(people[2:4])
    assert await user_list.count(harness.reads) == 4


async def test_a_user_with_several_events_is_listed_once(harness: ProjectionHarness) -> None:
    [alice] = await made(harness, 1)
    await harness.given(UserRenamed(name="Alicia"), user=alice)
    assert (await user_list.page(harness.reads, PageRequest(10))).ids == located(alice)
