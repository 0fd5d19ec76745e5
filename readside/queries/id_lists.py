"""The list of all aggregates of a kind, newest first: in each partition a sorted set of ids.

The ids sort by the time of creation.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import ge, le
from uuid import UUID

import msgspec

from readside.queries.page_request import PageRequest
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate

_COUNT = CommandTemplate("ZCARD")


class IdPage(msgspec.Struct, frozen=True, kw_only=True):
    ids: dict[str, int]
    """Newest first, each with its partition."""
    has_more: bool
    """Whether the range has more ids after a page, or before a backward one."""


class IdList:
    """Reads the sorted sets `Keys.index` of one kind, whose ids a projection adds and removes."""

    def __init__(self, plural: str) -> None:
        self._plural = plural

    async def page(self, read_model: ReadModel, request: PageRequest[UUID]) -> IdPage:
        """Returns a page of the ids. Raises ReadModelError.

        Reads twice the fair share of each partition. A partition whose ids are all used may have more, and is
        read again.
        """
        size, needed = request.size, request.size + 1
        limit = min(needed, 2 * size // len(read_model.partitions) + 4)
        lists = await self._read(read_model, read_model.partitions, request, limit)
        truncated = {number for number, ids in lists.items() if len(ids) == limit < needed}
        within = le if request.backward else ge
        while True:
            partitions = {id_: number for number, ids in lists.items() for id_ in ids}
            ids = sorted(partitions, reverse=not request.backward)[:needed]
            used_up = [number for number in truncated if within(lists[number][-1], ids[-1])]
            if not used_up:
                break
            lists |= await self._read(read_model, used_up, request, needed)
            truncated.difference_update(used_up)
        newest_first = sorted(ids[:size], reverse=True)
        return IdPage(ids={id_: partitions[id_] for id_ in newest_first}, has_more=len(ids) > size)

    async def count(self, read_model: ReadModel) -> int:
        """Returns the number of ids. Raises ReadModelError."""
        replies = await read_model.read_all(lambda keys: [_COUNT.pack(keys.index(self._plural))])
        return sum(number for [number] in replies)

    async def _read(
        self,
        read_model: ReadModel,
        partitions: Iterable[int],
        request: PageRequest[UUID],
        limit: int,
    ) -> dict[int, list[str]]:
        """Returns ids by partition, in the order in which they are read."""
        bounds = request.range("-", "+")
        command = CommandTemplate("ZRANGE", *bounds, "BYLEX", "LIMIT", "0", str(limit))
        replies = await read_model.read_partitions(
            dict.fromkeys(partitions, lambda keys: [command.pack(keys.index(self._plural))])
        )
        return {number: ids for number, [ids] in replies.items()}
