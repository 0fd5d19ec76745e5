"""Documents: a field that may be None can be cleared, and what the struct does not have is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from domain.users.events import UserCreated, UserRenamed
from readside.generations.replay import pages
from readside.projection import ProjectedEvent, RefusedCommand
from readside.queries.documents import Documents
from readside.redis_functions.functions import Functions
from readside.redis_functions.keys import Keys, Partition
from readside.stored_document import Document, StoredDocument
from tests.readside.contents import contents
from tests.readside.envelopes import moment_of, user_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from domain.envelope import Envelope
    from readside.projection import Command
    from tests.readside.projection_harness import ProjectionHarness

ALICE = user_in(0)


class Named(Document, frozen=True, rename="camel"):
    """A user with a nickname: the name, if it is not empty."""

    nick_name: str | None
    renamed: int


STORED = StoredDocument("user", Named, history="names")
DOCUMENTS = Documents(STORED, index="users")


def project(keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
    match event.data:
        case UserCreated(name=name):
            return STORED.created(keys, event, nick_name=name or None)
        case UserRenamed(name=name):
            return STORED.changed(keys, event, nick_name=name or None, renamed=event.version)
        case _:
            return []


PROJECTIONS = {"user": (project,)}


def names(*given: str) -> list[UserCreated | UserRenamed]:
    first, *others = given
    return [UserCreated(name=first, email="a@example.com"), *[UserRenamed(name=n) for n in others]]


async def named(harness: ProjectionHarness) -> str | None:
    row = await DOCUMENTS.fetch(harness.reads, ALICE)
    assert row is not None
    return row.nick_name


async def test_an_event_that_sets_a_field_to_none_clears_it(harness: ProjectionHarness) -> None:
    await harness.begin(PROJECTIONS)
    await harness.given(*names("Al", ""))
    assert await named(harness) is None
    await harness.given(UserRenamed(name="Ally"))
    assert await named(harness) == "Ally"
    await harness.given(UserRenamed(name=""), UserRenamed(name=""))
    assert await named(harness) is None
    changes = DOCUMENTS.changes(harness.reads, ALICE, after=1)
    seen = [row.nick_name async for row in _first(changes, 4) if row is not None]
    await changes.aclose()
    assert seen == [None, "Ally", None, None]


async def _first(changes: AsyncIterator[Named | None], count: int) -> AsyncIterator[Named | None]:
    for _ in range(count):
        yield await anext(changes)


@pytest.mark.parametrize("given", [("Al", "", "Ally", ""), ("", "Al"), ("", ""), ("Al", "", "")])
async def test_a_resync_and_a_rebuild_end_as_event_by_event(
    harness: ProjectionHarness, given: tuple[str, ...]
) -> None:
    await harness.begin(PROJECTIONS)
    await harness.given(*names(*given))
    keys = harness.keys_of(ALICE)
    by_event = await contents(harness.redis, keys)
    assert ("nickName" in by_event[f"user:{ALICE}"]) is bool(given[-1])
    await harness.applier_for(ALICE).resync_aggregate(ALICE)
    resynced = await contents(harness.redis, keys)
    assert resynced | {"counters": None} == by_event | {"counters": None}

    async def log() -> AsyncIterator[tuple[int, list[Envelope]]]:
        yield 1, harness.log.committed[0]

    other = await harness.generations(0).create("projector")
    assert other is not None
    built = type(harness.applier_for(ALICE))(
        Functions(harness.redis), harness.log, other, PROJECTIONS
    )
    async for page in pages(other, log(), PROJECTIONS):
        assert all(delivery.folded is not None for delivery in page.deliveries)
        await built.apply(page.deliveries, publish=False)
    assert await contents(harness.redis, other) == by_event


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (STORED.changed, "Named has no field name."),
        (STORED.created, "Named has no field name."),
        (STORED.increased, "Named has no field name."),
    ],
)
def test_a_field_that_the_struct_does_not_have_is_refused(
    command: Callable[..., list[Command]], sentence: str
) -> None:
    with pytest.raises(RefusedCommand) as refused:
        command(KEYS, EVENT, name=1)
    assert str(refused.value) == sentence


def test_a_value_that_the_field_cannot_have_is_refused() -> None:
    with pytest.raises(RefusedCommand) as refused:
        STORED.increased(KEYS, EVENT, nick_name=1)
    assert str(refused.value) == "Named has no number nick_name."
    with pytest.raises(RefusedCommand) as refused:
        STORED.changed(KEYS, EVENT, renamed=None)
    assert str(refused.value) == "Named has no field of the type `str | None` renamed."


KEYS = Keys(Partition(0), "now")
EVENT: ProjectedEvent[Any] = ProjectedEvent(
    aggregate="user",
    aggregate_id=str(ALICE),
    version=2,
    occurred_at=moment_of(2),
    data=UserRenamed(name="A"),
)
