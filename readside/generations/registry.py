"""Generations: which one serves, and which are left over."""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import ResponseError

from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import ACTIVE_PREFIX, LEASE_PREFIX, SCRATCH, Keys, Partition

if TYPE_CHECKING:
    from redis.asyncio import Redis

RETIRE_AFTER = 600
"""Seconds without a reader of its group after which a generation is removed, unless told otherwise."""

FORGET_AFTER = 30
"""The same, for one that has not read that somebody was erased: it still knows who that was."""


_GENERATION = re.compile("[0-9a-f]+-[0-9a-f]{8}")


def new_generation() -> str:
    """A name that was never used, also not before Redis was emptied. It begins with the time, for people."""
    return f"{time.time_ns() // 1_000_000:x}-{secrets.token_hex(4)}"


def is_generation(group: str) -> bool:
    """Returns whether a consumer group is that of a generation, by its name."""
    return _GENERATION.fullmatch(group) is not None


def _generation_of(key: str, partition: Partition) -> str | None:
    """The generation a key belongs to; None for those that outlive every generation."""
    name, _, rest = key.removeprefix(f"{partition.prefix}:").partition(":")
    return name if rest and name not in {LEASE_PREFIX, SCRATCH} else None


def _place(entry: str) -> tuple[int, int]:
    """Where an entry stands in its stream."""
    time, number = entry.split("-")
    return int(time), int(number)


async def entries(
    redis: Redis, keys: Keys, consumer: str, start: str, *, count: int, block: int | None = None
) -> list[tuple[str, dict[str, str]]]:
    """Stream entries for a generation's group; `block` is milliseconds. Raises Gone if there is no group."""
    try:
        reply: Any = await redis.xreadgroup(
            keys.generation, consumer, {keys.partition.stream: start}, count=count, block=block
        )
    except ResponseError as error:
        if str(error).startswith(("NOGROUP", "UNBLOCKED")):
            raise GenerationGone from error
        raise
    return reply[0][1] if reply else []


class Notes(msgspec.Struct, frozen=True):
    """What is noted of a generation."""

    by_hand: str | None
    """The fingerprint of the code that it was made by hand for; '' if a projector made it."""
    instead_of: str | None
    """The generation that served before; None if this one has never served."""
    code: str | None
    """The fingerprint of the code that built it; None if that was an earlier version of Tandem."""
    held: str | None
    """Why it does not serve though it is complete, as JSON."""


class Generations:
    """The generations of one partition, for one version of the code."""

    def __init__(self, redis: Redis, partition: Partition, fingerprint: str) -> None:
        """`redis` decodes replies."""
        self._redis = redis
        self._functions = Functions(redis, partition.namespace)
        self._partition = partition
        self._fingerprint = fingerprint

    async def serving(self) -> Keys | None:
        """The generation that readers of this version of the code are answered from, if it is whole."""
        pointer = f"{ACTIVE_PREFIX}{self._fingerprint}"
        name: Any = await self._redis.hget(self._partition.generations, pointer)
        if name is None or not await self._has_group(name):
            return None
        return Keys(self._partition, name)

    async def build(self, consumer: str, *, by_hand: bool = False) -> Keys | None:
        """A new generation, behind everything in the stream; None if no relay has begun the stream yet.

        One made by hand is found again if it is left unfinished; what a projector builds, it builds itself.
        """
        place, keys = self._partition, Keys(self._partition, new_generation())
        names = [place.stream, place.cursor, place.generations, keys.counters]
        mark = self._fingerprint if by_hand else ""
        arguments = keys.generation, consumer, mark, self._fingerprint
        built = await self._functions.call("create_generation", names, *arguments)
        return keys if built else None

    async def unfinished(self) -> list[Keys]:
        """What somebody began by hand for this version of the code, and has not brought to serve; by age."""
        return [
            keys
            for keys, notes in await self._known()
            if notes.by_hand == self._fingerprint and notes.instead_of is None
        ]

    async def hold(self, keys: Keys, excess: bytes) -> None:
        """Notes why a complete generation does not serve. It counts as made by hand: it can be resumed."""
        notes: dict[Any, Any] = {"by-hand": self._fingerprint, "held": excess}
        await self._redis.hset(keys.counters, mapping=notes)

    async def held(self) -> Keys | None:
        """The youngest generation of this version of the code that is complete and does not serve.

        None if it has no group any more: nothing can bring it up to date.
        """
        held = [
            keys
            for keys, notes in await self._known()
            if notes.held and notes.code == self._fingerprint and notes.instead_of is None
        ]
        return held[-1] if held and await self._has_group(held[-1].generation) else None

    async def newest(self) -> Keys | None:
        """The generation of this version of the code that serves, or else the youngest that is built."""
        known = [keys for keys, notes in await self._known() if notes.code == self._fingerprint]
        return await self.serving() or (known[-1] if known else None)

    async def alternative(self, keys: Keys) -> Keys | None:
        """Another generation that can serve: of this version of the code, or else of the youngest other.

        One can if it has its group and was read within the time for which generations are kept.
        """
        fields: Any = await self._redis.hgetall(self._partition.generations)
        before: Any = await self._redis.hget(keys.counters, "instead-of")
        own = fields.get(f"{ACTIVE_PREFIX}{self._fingerprint}")
        others = [name for field, name in fields.items() if field.startswith(ACTIVE_PREFIX)]
        for name in (own, before, *sorted(others, reverse=True)):
            known = name and name != keys.generation and fields.get(name) == "live"
            if known and await self._idle(name) <= RETIRE_AFTER:
                return Keys(self._partition, name)
        return None

    async def before(self, keys: Keys) -> Keys | None:
        """The generation that this one has taken the place of, as long as that is kept."""
        name = await self._redis.hget(keys.counters, "instead-of")
        return next((keys for keys, _ in await self._known() if keys.generation == name), None)

    async def _known(self) -> list[tuple[Keys, Notes]]:
        """Generations that are not void, with what is noted of them; by age."""
        fields: Any = await self._redis.hgetall(self._partition.generations)
        found = []
        for name in sorted(name for name, state in fields.items() if state == "live"):
            keys = Keys(self._partition, name)
            notes: Any = await self._redis.hmget(
                keys.counters, "by-hand", "instead-of", "code", "held"
            )
            found.append((keys, Notes(*notes)))
        return found

    async def touch(self, keys: Keys, consumer: str) -> None:
        """Says that a generation is still being built; nothing is pending in its group yet. Raises Gone."""
        await entries(self._redis, keys, consumer, "0", count=1)

    async def serve(self, keys: Keys) -> bool:
        """From now on it answers readers; False if it has not read the whole stream yet. Raises Gone."""
        names = [self._partition.stream, self._partition.generations, keys.counters]
        flipped = await self._functions.call("activate", names, keys.generation, self._fingerprint)
        return bool(flipped)

    async def check(self, keys: Keys) -> None:
        """Raises Gone if another serves, or if shared keys or entries that were not read yet were lost."""
        names = [self._partition.stream, self._partition.generations, keys.counters]
        await self._functions.call("check_intact", names, keys.generation, self._fingerprint)

    async def retire(self, keep: Keys, *, after: float = RETIRE_AFTER) -> int:
        """Removes generations that nobody has read for `after` seconds; answers how many."""
        fields: Any = await self._redis.hgetall(self._partition.generations)
        erased: Any = await self._redis.get(self._partition.last_erasure)
        removed = 0
        for name in fields:
            if name.startswith(ACTIVE_PREFIX) or name == keep.generation:
                continue
            patience = FORGET_AFTER if await self._remembers(name, erased or "0-0") else after
            if fields[name] == "void" or await self._idle(name) > patience:
                await self.remove(Keys(self._partition, name))
                removed += 1
        return removed

    async def sweep(self) -> int:
        """Removes groups and keys of generations that nobody knows any more; answers how many.

        A generation is known as soon as it has them: so what is known is asked for behind each look.
        """
        place = self._partition
        cursor, removed = 0, 0
        groups = [str(group["name"]) for group in await self._groups()]
        known: Any = await self._redis.hgetall(place.generations)
        for name in groups:  # other groups than ours may read along
            if is_generation(name) and name not in known:
                removed += await self._redis.xgroup_destroy(place.stream, name)
        while True:
            found: Any = await self._redis.scan(cursor, match=f"{place.prefix}:*", count=1000)
            cursor, names = found
            known = await self._redis.hgetall(place.generations)
            orphans = [name for name in names if _generation_of(name, place) not in {None, *known}]
            if orphans:
                removed += await self._redis.unlink(*orphans)
            if cursor == 0:
                return removed

    async def remove(self, keys: Keys) -> None:
        """Pointers and group first, the name last, so that whoever dies half-way leaves it to be found again.

        Nothing here needs memory: a Redis that is full of a generation can be rid of it.
        """
        generations = self._partition.generations
        fields: Any = await self._redis.hgetall(generations)
        for field, name in fields.items():
            if field.startswith(ACTIVE_PREFIX) and name == keys.generation:
                await self._redis.hdel(generations, field)
        if await self._has_group(keys.generation):
            await self._redis.xgroup_destroy(self._partition.stream, keys.generation)
        cursor = 0
        while True:
            cursor, names = await self._redis.scan(cursor, match=keys.shared_key("*"), count=1000)
            if names:
                await self._redis.unlink(*names)
            if cursor == 0:
                break
        await self._redis.hdel(generations, keys.generation)

    async def _has_group(self, name: str) -> bool:
        return any(group["name"] == name for group in await self._groups())

    async def _groups(self) -> list[dict[str, object]]:
        try:
            groups: list[dict[str, object]] = await self._redis.xinfo_groups(self._partition.stream)
        except ResponseError:  # there is no stream
            return []
        return groups

    async def _remembers(self, name: str, erased: str) -> bool:
        """Whether a generation has not come to the entry `erased` yet, which took somebody away."""
        for group in await self._groups():
            if group["name"] != name:
                continue
            if not group["pending"]:
                return _place(str(group["last-delivered-id"])) < _place(erased)
            pending: Any = await self._redis.xpending(self._partition.stream, name)
            return pending["min"] is not None and _place(pending["min"]) <= _place(erased)
        return False

    async def _idle(self, name: str) -> float:
        """Seconds since anybody read for this generation."""
        if not await self._has_group(name):
            return float("inf")
        consumers = await self._redis.xinfo_consumers(self._partition.stream, name)
        return min((consumer["idle"] / 1000 for consumer in consumers), default=float("inf"))
