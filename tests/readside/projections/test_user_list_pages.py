"""A page of a list reads some members of each partition: the result equals reading all."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from hiredis import Reader
from hypothesis import example, given
from hypothesis import strategies as st

from readside.projections import user_list
from readside.queries.id_lists import IdList
from readside.queries.page_request import PageRequest
from readside.queries.reader import ReadModel
from readside.redis_functions.keys import Keys, Partition
from tests.readside.zrange import zrange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from readside.queries.reader import CommandsFor
    from readside.redis_connection.protocol import Replies

PARTITIONS = 8
MOST = 200


class Lists:
    """Answers as Redis does, from a list of ids for each partition, oldest first."""

    partitions = range(PARTITIONS)

    def __init__(self, places: list[int]) -> None:
        """`places`: of each user the partition, oldest user first."""
        self.lists: list[list[str]] = [[] for _ in self.partitions]
        for number, place in enumerate(places):
            self.lists[place].append(str(UUID(int=number)))
        self.trips = 0
        self.harness = 0

    async def read_partitions(self, questions: Mapping[int, CommandsFor]) -> dict[int, Replies]:
        self.trips += 1
        return {number: [self._range(number, asked)] for number, asked in questions.items()}

    def _range(self, number: int, question: CommandsFor) -> list[str]:
        reader = Reader(encoding="utf-8")
        [command] = question(Keys(Partition(number), "g"))
        assert isinstance(command, bytes)
        reader.feed(command)
        found = zrange(self.lists[number], reader.gets()[2:])
        self.harness += len(found)
        return found


anywhere = st.integers(0, PARTITIONS - 1)
crowded = st.sampled_from([0] * 9 + [1, 2])


@given(
    places=st.lists(anywhere, max_size=MOST) | st.lists(crowded, max_size=MOST),
    size=st.integers(1, 100),
    after=st.none() | st.integers(0, MOST),
    before=st.none() | st.integers(0, MOST),
    backward=st.booleans(),
    ascending=st.booleans(),
)
@example(
    places=[0] * 50 + [1] * 50, size=40, after=None, before=None, backward=False, ascending=True
)
@example(
    places=[0] * 50 + [1] * 50, size=40, after=None, before=None, backward=True, ascending=False
)
@example(
    places=[0] * 50 + [1] * 50, size=40, after=None, before=None, backward=False, ascending=False
)
@example(places=[3] * MOST, size=100, after=None, before=None, backward=False, ascending=False)
@example(places=[3] * 6, size=20, after=None, before=None, backward=False, ascending=False)
async def test_a_page_equals_the_page_of_all_complete_lists(
    places: list[int],
    size: int,
    after: int | None,
    before: int | None,
    backward: bool,
    ascending: bool,
) -> None:
    lists = Lists(places)
    request = PageRequest(
        size,
        None if after is None else UUID(int=after),
        None if before is None else UUID(int=before),
        backward,
    )
    list_ = IdList("numbers", ascending=ascending)
    page = await list_.page(cast("ReadModel", lists), request)
    above, below = (after, before) if ascending else (before, after)
    within = range(
        0 if above is None else above + 1,
        len(places) if below is None else min(below, len(places)),
    )
    numbers = within if ascending else reversed(within)
    whole = [(str(UUID(int=number)), places[number]) for number in numbers]
    assert list(page.ids.items()) == (whole[-size:] if backward else whole[:size])
    assert page.has_more == (len(whole) > size)
    assert lists.trips <= 1 + PARTITIONS


async def test_evenly_distributed_users_are_read_in_one_round_trip_of_short_lists() -> None:
    lists = Lists([number % PARTITIONS for number in range(MOST)])
    await user_list.page(cast("ReadModel", lists), PageRequest(20))
    assert (lists.trips, lists.harness < PARTITIONS * 21 / 2) == (1, True)
