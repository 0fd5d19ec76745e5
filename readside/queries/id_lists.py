"""The list of all aggregates of a kind, newest first: in each partition a sorted set of ids.

The ids sort by the time of creation.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import msgspec

from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate

_COUNT = CommandTemplate("ZCARD")


class IdPage(msgspec.Struct, frozen=True, kw_only=True):
    ids: dict[str, int]
    """Newest first, each with its partition."""
    has_next: bool


class IdList:
    """Reads the sorted sets `Keys.index` of one kind, whose ids a projection adds and removes."""

    def __init__(self, plural: str) -> None:
        self._plural = plural

    async def page(self, read_model: ReadModel, first: int, after: UUID | None) -> IdPage:
        """Returns the `first` newest ids, or those after the id `after`. Raises ReadModelError.

        Reads twice the fair share of each partition. A partition whose ids are all used may have more, and is
        read again.
        """
        newest, page_size = "+" if after is None else f"({after}", first + 1
        limit = min(page_size, 2 * first // len(read_model.partitions) + 4)
        lists = await self._newest(read_model, read_model.partitions, newest, limit)
        truncated = {number for number, ids in lists.items() if len(ids) == limit < page_size}
        while True:
            partitions = {id_: number for number, ids in lists.items() for id_ in ids}
            ids = sorted(partitions, reverse=True)[:page_size]
            used_up = [number for number in truncated if lists[number][-1] >= ids[-1]]
            if not used_up:
                break
            lists |= await self._newest(read_model, used_up, newest, page_size)
            truncated.difference_update(used_up)
        return IdPage(ids={id_: partitions[id_] for id_ in ids[:first]}, has_next=len(ids) > first)

    async def count(self, read_model: ReadModel) -> int:
        """Returns the number of ids. Raises ReadModelError."""
        replies = await read_model.read_all(lambda keys: [_COUNT.pack(keys.index(self._plural))])
        return sum(number for [number] in replies)

    async def _newest(
        self, read_model: ReadModel, partitions: Iterable[int], newest: str, limit: int
    ) -> dict[int, list[str]]:
        """Returns ids by partition."""
        command = CommandTemplate("ZRANGE", newest, "-", "BYLEX", "REV", "LIMIT", "0", str(limit))
        replies = await read_model.read_partitions(
            dict.fromkeys(partitions, lambda keys: [command.pack(keys.index(self._plural))])
        )
        return {number: ids for number, [ids] in replies.items()}
