"""The other direction: everything that a generation holds, by the user in whose name it is there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.events import UserId
from readside.agreed import Agreed
from readside.compare import Found
from readside.expected import Difference
from readside.keys import Keys
from readside.look import Looks

if TYPE_CHECKING:
    from redis.asyncio import Redis

BATCH = 500
"""Keys or members of one look."""

_USER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class Strays:
    """Looks through one generation. What it finds may be gone, or someone's, when it is looked at closely."""

    def __init__(self, redis: Redis, looks: Looks, keys: Keys) -> None:
        self._redis = redis
        self._looks = looks
        self._keys = keys
        self.nobodys: list[Difference] = []
        """What names no user at all."""

    async def keys_of_users(self) -> AsyncIterator[dict[UserId, set[str]]]:
        """The users' own keys, batch by batch."""
        batch: dict[UserId, set[str]] = {}
        async for key in self._redis.scan_iter(match=self._keys.of("*"), count=BATCH):
            if (user := _user_in(key)) is not None:
                batch.setdefault(user, set()).add(key)
            if len(batch) >= BATCH:
                yield batch
                batch = {}
        yield batch

    async def members(self, agreed: Agreed) -> AsyncIterator[Found]:
        """What is in the keys that users share, and has not been agreed on before, batch by batch."""
        async for key in self._redis.scan_iter(match=self._keys.of("*"), count=BATCH):
            if _user_in(key) is None and key not in {self._keys.counters, self._keys.lost}:
                async for batch in self._within(key, agreed):
                    yield batch

    async def _within(self, key: str, agreed: Agreed) -> AsyncIterator[Found]:
        [kind] = await self._looks.ask(("TYPE", key))
        batch: Found = {}
        async for member in self._scanned(key, kind):
            if (key, member) in agreed:
                continue
            if (user := _user_in(member)) is None:
                await self._belongs_to_nobody(key, member)
            else:
                places = batch.setdefault(user, {})
                if key != self._keys.parked:
                    places[key, member] = kind
            if len(batch) >= BATCH:
                yield batch
                batch = {}
        yield batch

    async def _scanned(self, key: str, kind: str) -> AsyncIterator[str]:
        if kind == "zset":
            async for member, _ in self._redis.zscan_iter(key, count=BATCH):
                yield member
        elif kind == "hash":
            async for field, _ in self._redis.hscan_iter(key, count=BATCH):
                yield field
        elif kind != "none":
            await self._belongs_to_nobody(key, "")

    async def _belongs_to_nobody(self, key: str, member: str) -> None:
        self.nobodys.append(
            Difference(
                partition=self._keys.partition.number,
                key=key.removeprefix(self._keys.of("")),
                field=member,
                found="something that names no user",
                shared=True,
            )
        )

    async def sizes(self) -> list[Difference]:
        """Shared keys of which the number of members is not the one that was noted when they were written."""
        [noted] = await self._looks.ask(("HGETALL", self._keys.counters))
        marks = [field for field in noted[::2] if field.startswith("size:")]
        differences = []
        for mark in marks:
            key = mark.removeprefix("size:")
            should, kind, members, fields = await self._looks.ask(
                ("HGET", self._keys.counters, mark), ("TYPE", key), ("ZCARD", key), ("HLEN", key)
            )
            found: Any = {"zset": members, "hash": fields, "none": 0}.get(kind, kind)
            if str(found) != should:
                differences.append(self._size(key, should, found))
        return differences

    def _size(self, key: str, should: Any, found: Any) -> Difference:
        return Difference(
            partition=self._keys.partition.number,
            key=key.removeprefix(self._keys.of("")),
            field="(members)",
            should=should,
            found=found,
            shared=True,
        )


def _user_in(name: str) -> UserId | None:
    found = _USER.search(name)
    return None if found is None else UserId(UUID(found.group()))
