"""The other direction: everything that a generation holds, by the user in whose name it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from domain.users.events import UserId
from readside.verify.difference import Difference, KeyEntry, user_in
from readside.verify.sides import ComparedGenerations
from readside.verify.verified_set import VerifiedSet

BATCH = 500
"""Keys or members of one look."""

Found = dict[UserId, set[KeyEntry]]
"""Of each user the places that were found in its name."""


class Orphans:
    """Looks through one generation. What it finds may be gone, or someone's, when it is looked at closely."""

    def __init__(self, sides: ComparedGenerations) -> None:
        self._sides = sides
        self._redis = sides.redis
        self._keys = sides.keys
        self.nobodys: list[Difference] = []
        """What names no user at all."""

    async def keys_of_users(self, usual: set[str]) -> AsyncIterator[Found]:
        """Keys that not every user has, and those of users whom the log does not know, batch by batch."""
        batch: Found = {}
        async for name in self._names():
            if (user := user_in(name)) is not None:
                batch.setdefault(user, set()).add(KeyEntry(name))
            if len(batch) >= BATCH:
                yield await self._odd(batch, usual)
                batch = {}
        yield await self._odd(batch, usual)

    async def _odd(self, batch: Found, usual: set[str]) -> Found:
        known = await self._sides.history.existing_users(list(batch))
        found: Found = {}
        for user, places in batch.items():
            sure = {f"{kind}:{user}" for kind in usual} if user in known else set()
            if odd := {place for place in places if place.name not in sure}:
                found[user] = odd
        return found

    async def members(self, agreed: VerifiedSet) -> AsyncIterator[Found]:
        """What is in the keys that users share, and has not been agreed on before, batch by batch."""
        keys = self._keys
        async for name in self._names():
            if user_in(name) is None and keys.shared_key(name) not in {
                keys.counters,
                keys.needs_resync,
            }:
                async for batch in self._within(name, agreed):
                    yield batch

    async def _names(self) -> AsyncIterator[str]:
        prefix = self._keys.shared_key("")
        async for key in self._redis.scan_iter(match=f"{prefix}*", count=BATCH):
            yield key.removeprefix(prefix)

    async def _within(self, name: str, agreed: VerifiedSet) -> AsyncIterator[Found]:
        [kind] = await self._sides.looks.ask(("TYPE", self._keys.shared_key(name)))
        if kind not in {"zset", "hash", "set", "none"}:
            self._belongs_to_nobody(name, "")
            return
        batch: Found = {}
        async for member in _members(self._sides, name, kind):
            if (name, member) in agreed:
                continue
            if (user := user_in(member)) is None:
                self._belongs_to_nobody(name, member)
            else:
                places = batch.setdefault(user, set())
                if self._keys.shared_key(name) != self._keys.parked:
                    places.add(KeyEntry(name, member, kind))
            if len(batch) >= BATCH:
                yield batch
                batch = {}
        yield batch

    def _belongs_to_nobody(self, name: str, member: str) -> None:
        self.nobodys.append(
            Difference(
                partition=self._keys.partition.number,
                key=name,
                field=member,
                found="something that names no user",
                shared=True,
            )
        )

    async def sizes(self) -> list[Difference]:
        """Shared keys of which the number of members is not the one that was noted when they were written."""
        [noted] = await self._sides.looks.ask(("HGETALL", self._keys.counters))
        marks = [field for field in noted[::2] if field.startswith("size:")]
        differences = []
        for mark in marks:
            key = mark.removeprefix("size:")
            should, kind, *sizes = await self._sides.looks.ask(
                ("HGET", self._keys.counters, mark),
                ("TYPE", key),
                ("ZCARD", key),
                ("HLEN", key),
                ("SCARD", key),
            )
            found: Any = dict(zip(("zset", "hash", "set"), sizes, strict=True), none=0).get(
                kind, kind
            )
            if str(found) != should:
                differences.append(self._size(key, should, found))
        return differences

    def _size(self, key: str, should: Any, found: Any) -> Difference:
        return Difference(
            partition=self._keys.partition.number,
            key=key.removeprefix(self._keys.shared_key("")),
            field="(members)",
            should=should,
            found=found,
            shared=True,
        )


async def members_of(sides: ComparedGenerations, user: UserId, names: set[str]) -> set[KeyEntry]:
    """Returns all members of these shared keys that name the user."""
    found: set[KeyEntry] = set()
    for name in names:
        [kind] = await sides.looks.ask(("TYPE", sides.keys.shared_key(name)))
        members = _members(sides, name, kind, f"*{user}")
        found.update([KeyEntry(name, member, kind) async for member in members])
    return found


async def _members(
    sides: ComparedGenerations, name: str, kind: str, match: str | None = None
) -> AsyncIterator[str]:
    """Members of a sorted set or a set, or fields of a hash; none of a key of another kind."""
    key, redis = sides.keys.shared_key(name), sides.redis
    if kind == "zset":
        async for member, _ in redis.zscan_iter(key, match=match, count=BATCH):
            yield member
    elif kind == "hash":
        async for field, _ in redis.hscan_iter(key, match=match, count=BATCH):
            yield field
    elif kind == "set":
        async for member in redis.sscan_iter(key, match=match, count=BATCH):
            yield member
