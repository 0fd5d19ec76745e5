"""Lists of aggregates: in each partition a sorted set whose members end with ids, read in pages.

A member is an id, which sorts by the time of creation, or "key, tab, id" as sorted_index.py stores it. It is
the position of an aggregate in the list: a page continues there, wherever that aggregate is by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import ge, le
from typing import Final
from uuid import UUID

import msgspec

from readside.queries.completeness import completeness_commands, require_complete
from readside.queries.page_request import PageRequest
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate

ID_LENGTH: Final = 36

Request = PageRequest[str] | PageRequest[UUID]
"""A page by the positions of members; those of members that are ids may be UUIDs."""


class IdPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page in the order of its list."""

    positions: list[str]
    ids: dict[str, int]
    """Each with its partition."""
    has_more: bool
    """Whether there are more ids after a page, or before a backward one."""


class IdList:
    """Reads the sorted sets of one name, whose members a projection adds and removes."""

    def __init__(self, name: str, *, ascending: bool = False) -> None:
        """The list has the highest member first, such as the newest id, or, `ascending`, the lowest."""
        self._name = name
        self._ascending = ascending

    async def page(self, read_model: ReadModel, request: Request, prefix: str = "") -> IdPage:
        """Returns a page of the members that start with a prefix, as the positions of the request do.

        Raises ReadModelError, also rather than find nothing in an incomplete index.
        """
        page = await self._page(read_model, request, prefix)
        if page.ids or not prefix:
            return page
        read_model = read_model.primary
        count = CommandTemplate("ZLEXCOUNT", *_bounds(prefix))
        replies = await read_model.read_all(
            lambda keys: [
                count.pack(keys.shared_key(self._name)),
                *completeness_commands(keys, self._name),
            ]
        )
        if any(number for number, *_ in replies):
            return await self._page(read_model, request, prefix)
        require_complete(replies)
        return page

    async def count(self, read_model: ReadModel, prefix: str = "") -> int:
        """Returns the number of members that start with a prefix. Raises ReadModelError."""
        count = CommandTemplate("ZLEXCOUNT", *_bounds(prefix))
        replies = await read_model.read_all(lambda keys: [count.pack(keys.shared_key(self._name))])
        return sum(number for [number] in replies)

    async def _page(self, read_model: ReadModel, request: Request, prefix: str) -> IdPage:
        """Reads twice the fair share of each partition, and one again whose members are all used."""
        size, needed = request.size, request.size + 1
        limit = min(needed, 2 * size // len(read_model.partitions) + 4)
        bounds = request.range(*_bounds(prefix), ascending=self._ascending)
        lists = await self._read(read_model, read_model.partitions, bounds, limit)
        truncated = {number for number, members in lists.items() if len(members) == limit < needed}
        descending = "REV" in bounds
        reaches = ge if descending else le
        while True:
            partitions = {member: number for number, members in lists.items() for member in members}
            members = sorted(partitions, reverse=descending)[:needed]
            used_up = [number for number in truncated if reaches(lists[number][-1], members[-1])]
            if not used_up:
                break
            lists |= await self._read(read_model, used_up, bounds, needed)
            truncated.difference_update(used_up)
        positions = members[:size][:: -1 if request.backward else 1]
        return IdPage(
            positions=positions,
            ids={position[-ID_LENGTH:]: partitions[position] for position in positions},
            has_more=len(members) > size,
        )

    async def _read(
        self,
        read_model: ReadModel,
        partitions: Iterable[int],
        bounds: tuple[str, ...],
        limit: int,
    ) -> dict[int, list[str]]:
        """Returns members by partition, in the order in which they are read."""
        command = CommandTemplate("ZRANGE", *bounds, "BYLEX", "LIMIT", "0", str(limit))
        replies = await read_model.read_partitions(
            dict.fromkeys(partitions, lambda keys: [command.pack(keys.shared_key(self._name))])
        )
        return {number: members for number, [members] in replies.items()}


def members_of(key: str) -> str:
    """Returns the prefix of the members with this key."""
    return f"{key}\t"


def _bounds(prefix: str) -> tuple[str, str]:
    """Returns the lowest and the highest bound of the members that start with a prefix.

    U+DCFF stands for the byte 255, which is above those of every character in UTF-8.
    """
    return (f"[{prefix}", f"({prefix}\udcff") if prefix else ("-", "+")
