"""The users by name: in order, by the beginning of the name, whatever a name or a beginning contains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.users.events import UserCreated, UserErased, UserId, UserRenamed, name_key
from readside.errors import ReadModelRebuilding
from readside.projections import users_by_name
from readside.queries.page_request import PageRequest
from tests.readside.contents import contents
from tests.readside.envelopes import located, user_in

if TYPE_CHECKING:
    from tests.readside.projection_harness import ProjectionHarness

NAMES = [
    "ann",
    "Ann Lee",
    "ANN",
    "ann0",
    "Ann\U0001f600",
    "Bea",
    "Änne",
    "Zoë",
    "ann\U0010ffff!",
    "\uff41",
]
"""In the order in which they are created; two have the same key."""

PRINTABLE = st.characters(exclude_categories=["Cc", "Cs"])


async def named(harness: ProjectionHarness, *names: str) -> list[UserId]:
    """A user of each name, over both partitions; the first is the oldest."""
    users = sorted(user_in(number % 2, number // 2) for number in range(len(names)))
    for user, name in zip(users, names, strict=True):
        await harness.given(UserCreated(name=name, email=f"{user}@example.com"), user=user)
    return users


async def found(harness: ProjectionHarness, start: str = "", size: int = 100) -> list[str]:
    """The ids of all whose names start so, read in pages."""
    ids: list[str] = []
    prefix, after, more = name_key(start), None, True
    while more:
        page = await users_by_name.LIST.page(harness.reads, PageRequest(size, after), prefix)
        ids += page.ids
        after, more = page.positions[-1] if page.positions else None, page.has_more
    assert await users_by_name.LIST.count(harness.reads, prefix) == len(ids)
    return ids


def expected(users: list[UserId], names: list[str], start: str = "") -> list[str]:
    keys = sorted((name_key(name), str(user)) for user, name in zip(users, names, strict=True))
    return [user for key, user in keys if key.startswith(name_key(start))]


async def test_names_are_in_the_order_of_their_folded_code_points_and_ties_in_that_of_age(
    harness: ProjectionHarness,
) -> None:
    users = await named(harness, *NAMES)
    for size in (1, 2, 3, 100):
        assert await found(harness, size=size) == expected(users, NAMES)
    assert expected(users, NAMES)[:4] == [str(users[at]) for at in (0, 2, 1, 3)]


@pytest.mark.parametrize(
    "start",
    [
        *("", "a", "ANN", "ann ", "ann  ", "ann0", "b", "bea", "beat", "ä", "A\u0308", "zo", "ZOE"),
        *(
            "[",
            "(",
            "+",
            "-",
            "\\",
            "*",
            "\t",
            "\n",
            "\0",
            "\x7f",
            "\x80",
            "\xff",
            "ann\xff",
        ),
        *(
            "\ud7ff",
            "\ue000",
            "\uffff",
            "\U00010000",
            "\U0010ffff",
            "ann\U0010ffff",
            "ann\U0001f600",
        ),
        *("ss", "ß", "\u0345", "\udcff", "a" * 3000),
    ],
)
async def test_any_beginning_finds_the_names_that_start_with_it(
    harness: ProjectionHarness, start: str
) -> None:
    names = [*NAMES, "Straße", "\ue000", "\U0010ffff", "\U0010ffff\U0010ffff", "-", "[a", "\u0345"]
    users = await named(harness, *names)
    assert await found(harness, start) == expected(users, names, start)


@given(
    names=st.lists(st.text(PRINTABLE, min_size=1, max_size=4), min_size=1, max_size=6),
    start=st.text(PRINTABLE, max_size=2),
)
@example(names=["\U0010ffff", "\U0010ffff "], start="\U0010ffff")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_every_text_is_found_by_every_beginning_of_it(
    harness: ProjectionHarness, names: list[str], start: str
) -> None:
    await harness.redis.flushall()
    harness.__init__(harness.redis, harness.reads)  # type: ignore[misc]
    await harness.begin()
    users = await named(harness, *names)
    for text in (start, *(name[:end] for name in names for end in (1, 2, 4))):
        assert sorted(await found(harness, text, 2)) == sorted(expected(users, names, text))


async def test_a_page_continues_where_it_ended_when_users_are_renamed_and_erased(
    harness: ProjectionHarness,
) -> None:
    names = ["a", "b", "c", "d", "e", "f", "g", "h"]
    users = await named(harness, *names)
    page = await users_by_name.LIST.page(harness.reads, PageRequest(3))
    assert list(page.ids) == [str(user) for user in users[:3]]
    await harness.given(UserRenamed(name="z"), user=users[2])  # the last of the page
    await harness.given(UserErased(), user=users[3])
    await harness.given(UserRenamed(name="AA"), user=users[4])  # to where the client has been
    page = await users_by_name.LIST.page(harness.reads, PageRequest(2, page.positions[-1]))
    assert list(page.ids) == [str(user) for user in users[5:7]]
    rest = await users_by_name.LIST.page(harness.reads, PageRequest(9, page.positions[-1]))
    assert (list(rest.ids), rest.has_more) == ([str(users[7]), str(users[2])], False)
    back = await users_by_name.LIST.page(
        harness.reads, PageRequest(2, None, page.positions[0], backward=True)
    )
    assert (list(back.ids), back.has_more) == ([str(users[4]), str(users[1])], True)


async def test_backward_pages_of_any_size_are_the_forward_ones(harness: ProjectionHarness) -> None:
    users = await named(harness, *NAMES)
    for start in ("", "ann"):
        for size in (1, 2, 3, 100):
            ids: list[str] = []
            before, more = None, True
            while more:
                request: PageRequest[str] = PageRequest(size, None, before, backward=True)
                page = await users_by_name.LIST.page(harness.reads, request, start)
                ids = [*page.ids, *ids]
                before, more = page.positions[0], page.has_more
            assert ids == expected(users, NAMES, start)


async def test_an_erased_user_leaves_no_name_behind(harness: ProjectionHarness) -> None:
    [alice] = await named(harness, "Alice")
    await harness.given(UserRenamed(name="Alicia"), UserErased(), user=alice)
    assert await found(harness) == []
    assert "alic" not in str(await contents(harness.redis, harness.keys_of(alice))).lower()


async def test_events_of_an_erased_user_that_were_blanked_index_nothing(
    harness: ProjectionHarness,
) -> None:
    alice = await harness.given(UserCreated(name="", email=""), UserRenamed(name=""))
    assert await found(harness) == []
    assert await harness.redis.exists(harness.keys_of(alice).shared_key("names-of")) == 0


async def test_a_resynced_user_has_one_name(harness: ProjectionHarness) -> None:
    alice, bob = await named(harness, "Alice", "Bob")
    await harness.given(UserRenamed(name="Zoe"), user=alice)
    await harness.redis.delete(harness.keys_of(alice).document("user", alice))
    await harness.given(UserRenamed(name="Carol"), user=alice)
    page = await users_by_name.LIST.page(harness.reads, PageRequest(9))
    assert page.ids == located(bob, alice)
    assert list(page.ids) == [str(bob), str(alice)]


@pytest.mark.parametrize("how", ["lost", "without an entry", "being resynced"])
async def test_an_incomplete_index_never_reports_that_no_user_has_a_name(
    harness: ProjectionHarness, how: str
) -> None:
    alice, _ = await named(harness, "Alice", "Bob")
    keys = harness.keys_of(alice)
    match how:
        case "lost":
            await harness.redis.delete(keys.shared_key("names"))
        case "without an entry":
            await harness.redis.zrem(keys.shared_key("names"), f"alice\t{alice}")
        case _:
            await harness.redis.sadd(keys.needs_resync, str(alice))
            await harness.redis.zrem(keys.shared_key("names"), f"alice\t{alice}")
    with pytest.raises(ReadModelRebuilding):
        await found(harness, "al")
    assert len(await found(harness, "b")) == 1
