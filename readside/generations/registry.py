"""The generations of one partition: creates, activates, finds and removes them."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from readside.redis_functions.functions import Functions, GenerationGone
from readside.redis_functions.keys import ACTIVE_PREFIX, LEASE_PREFIX, SCRATCH, Keys, Partition

RETENTION_SECONDS = 600
"""How long a generation is kept after the last read of its group."""

ERASURE_RETENTION_SECONDS = 30
"""The same for a generation that has not yet applied an erasure, and so still holds personal data."""

_GENERATION = re.compile("[0-9a-f]+-[0-9a-f]{8}")


def new_generation() -> str:
    """Returns a name that was never used, even before Redis was emptied. It begins with the time."""
    return f"{time.time_ns() // 1_000_000:x}-{secrets.token_hex(4)}"


def is_generation(group: str) -> bool:
    """Returns whether the name of a consumer group is that of a generation."""
    return _GENERATION.fullmatch(group) is not None


def _generation_of(key: str, partition: Partition) -> str | None:
    """Returns the generation of a key; None for keys that outlive every generation."""
    name, _, rest = key.removeprefix(f"{partition.prefix}:").partition(":")
    return name if rest and name not in {LEASE_PREFIX, SCRATCH} else None


def _entry_position(entry_id: str) -> tuple[int, int]:
    time, number = entry_id.split("-")
    return int(time), int(number)


async def read_entries(
    redis: Redis, keys: Keys, consumer: str, start: str, *, count: int, block: int | None = None
) -> list[tuple[str, dict[str, str]]]:
    """Reads stream entries for a generation's group; `block` is in milliseconds. Raises GenerationGone."""
    try:
        reply: Any = await redis.xreadgroup(
            keys.generation, consumer, {keys.partition.stream: start}, count=count, block=block
        )
    except ResponseError as error:
        if str(error).startswith(("NOGROUP", "UNBLOCKED")):
            raise GenerationGone from error
        raise
    return reply[0][1] if reply else []


class GenerationRecord(
    msgspec.Struct,
    frozen=True,
    rename={"manual": "by-hand", "previous": "instead-of", "fingerprint": "code"},
):
    """The fields of a generation's counters that say why it exists."""

    manual: str | None
    """The fingerprint it was created for manually; '' if a projector created it."""
    previous: str | None
    """The generation that was active before; None if this one was never active."""
    fingerprint: str | None
    """The fingerprint of the code that built it; None if that was an earlier version of Tandem."""
    held: str | None
    """Why it is not active though it is complete, as JSON."""


class Generations:
    """The generations of one partition, for one fingerprint."""

    def __init__(self, redis: Redis, partition: Partition, fingerprint: str) -> None:
        """`redis` decodes replies."""
        self._redis = redis
        self._functions = Functions(redis, partition.namespace)
        self._partition = partition
        self._fingerprint = fingerprint
        self._shared_keys: list[str] = []
        """Those of the generation that was checked last, as of that check."""

    async def active(self) -> Keys | None:
        """Returns the generation that readers with this fingerprint use, if it has its group."""
        pointer = f"{ACTIVE_PREFIX}{self._fingerprint}"
        name: Any = await self._redis.hget(self._partition.generations, pointer)
        if name is None or not await self._has_group(name):
            return None
        return Keys(self._partition, name)

    async def create(self, consumer: str, *, manual: bool = False) -> Keys | None:
        """Returns a new generation, whose group starts at the end of the stream; None if there is no stream.

        A manual one can be resumed if it is interrupted; a projector starts again.
        """
        partition, keys = self._partition, Keys(self._partition, new_generation())
        names = [partition.stream, partition.cursor, partition.generations, keys.counters]
        manual_fingerprint = self._fingerprint if manual else ""
        arguments = keys.generation, consumer, manual_fingerprint, self._fingerprint
        created = await self._functions.call("create_generation", names, *arguments)
        return keys if created else None

    async def interrupted(self) -> list[Keys]:
        """Returns the manual generations with this fingerprint that were never active, oldest first."""
        return [
            keys
            for keys, record in await self._records()
            if record.manual == self._fingerprint and record.previous is None
        ]

    async def hold(self, keys: Keys, excess: bytes) -> None:
        """Records why a complete generation is not activated. It counts as manual: it can be resumed."""
        fields: dict[Any, Any] = {"by-hand": self._fingerprint, "held": excess}
        await self._redis.hset(keys.counters, mapping=fields)

    async def held(self) -> Keys | None:
        """Returns the newest generation with this fingerprint that is complete and was never active.

        None if it has no group any more, so that it cannot be brought up to date.
        """
        held = [
            keys
            for keys, record in await self._records()
            if record.held and record.fingerprint == self._fingerprint and record.previous is None
        ]
        return held[-1] if held and await self._has_group(held[-1].generation) else None

    async def newest(self) -> Keys | None:
        """Returns the active generation with this fingerprint, or else the newest that is being built."""
        built = [
            keys
            for keys, record in await self._records()
            if record.fingerprint == self._fingerprint
        ]
        return await self.active() or (built[-1] if built else None)

    async def alternative(self, keys: Keys) -> Keys | None:
        """Returns another generation that can be active: with this fingerprint, or else the newest other.

        It must have its group and have been read within the retention period.
        """
        fields: Any = await self._redis.hgetall(self._partition.generations)
        previous: Any = await self._redis.hget(keys.counters, "instead-of")
        own = fields.get(f"{ACTIVE_PREFIX}{self._fingerprint}")
        others = [name for field, name in fields.items() if field.startswith(ACTIVE_PREFIX)]
        for name in (own, previous, *sorted(others, reverse=True)):
            is_valid = name and name != keys.generation and fields.get(name) == "live"
            if is_valid and await self._idle_seconds(name) <= RETENTION_SECONDS:
                return Keys(self._partition, name)
        return None

    async def previous(self, keys: Keys) -> Keys | None:
        """Returns the generation that was active before this one, if it is still kept."""
        name = await self._redis.hget(keys.counters, "instead-of")
        return next((keys for keys, _ in await self._records() if keys.generation == name), None)

    async def _records(self) -> list[tuple[Keys, GenerationRecord]]:
        """Returns the generations that are not void, oldest first."""
        fields: Any = await self._redis.hgetall(self._partition.generations)
        records = []
        for name in sorted(name for name, state in fields.items() if state == "live"):
            keys = Keys(self._partition, name)
            values: Any = await self._redis.hmget(
                keys.counters, GenerationRecord.__struct_encode_fields__
            )
            records.append((keys, GenerationRecord(*values)))
        return records

    async def keep_alive(self, keys: Keys, consumer: str) -> None:
        """Restarts the retention period, by a read that returns nothing. Raises GenerationGone."""
        await read_entries(self._redis, keys, consumer, "0", count=1)

    async def activate(self, keys: Keys) -> bool:
        """Makes readers use it; False if it has not applied the whole stream. Raises GenerationGone."""
        names = [self._partition.stream, self._partition.generations, keys.counters]
        activated = await self._functions.call(
            "activate", names, keys.generation, self._fingerprint
        )
        return bool(activated)

    async def check_intact(self, keys: Keys) -> None:
        """Raises GenerationGone if it is not active, or shared keys or unread entries were lost."""
        names = [self._partition.stream, self._partition.generations, keys.counters]
        arguments = keys.generation, self._fingerprint
        while shared := await self._functions.call(
            "check_intact", [*names, *self._shared_keys], *arguments
        ):
            self._shared_keys = shared

    async def remove_unused(self, keep: Keys, *, after: float = RETENTION_SECONDS) -> int:
        """Removes generations whose group was not read for `after` seconds; returns their number."""
        fields: Any = await self._redis.hgetall(self._partition.generations)
        last_erasure: Any = await self._redis.get(self._partition.last_erasure)
        removed = 0
        for name in fields:
            if name.startswith(ACTIVE_PREFIX) or name == keep.generation:
                continue
            holds_erased = await self._precedes(name, last_erasure or "0-0")
            retention = ERASURE_RETENTION_SECONDS if holds_erased else after
            if fields[name] == "void" or await self._idle_seconds(name) > retention:
                await self.remove(Keys(self._partition, name))
                removed += 1
        return removed

    async def remove_orphans(self) -> int:
        """Removes groups and keys of generations that are not registered; returns their number.

        A generation registers itself before it writes keys, so the registry is read again after each page.
        """
        partition = self._partition
        cursor, removed = 0, 0
        groups = [str(group["name"]) for group in await self._groups()]
        registered: Any = await self._redis.hgetall(partition.generations)
        for name in groups:  # groups with other names belong to other consumers
            if is_generation(name) and name not in registered:
                removed += await self._redis.xgroup_destroy(partition.stream, name)
        while True:
            page: Any = await self._redis.scan(cursor, match=f"{partition.prefix}:*", count=1000)
            cursor, names = page
            registered = await self._redis.hgetall(partition.generations)
            orphans = [
                name for name in names if _generation_of(name, partition) not in {None, *registered}
            ]
            if orphans:
                removed += await self._redis.unlink(*orphans)
            if cursor == 0:
                return removed

    async def remove(self, keys: Keys) -> None:
        """Removes pointers and group first, the registration last, so that an interrupted removal is found.

        Needs no memory, so it works in a full Redis.
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

    async def _precedes(self, name: str, erasure: str) -> bool:
        """Returns whether a generation has not yet applied this entry, which erases an aggregate."""
        for group in await self._groups():
            if group["name"] != name:
                continue
            if not group["pending"]:
                last_read = str(group["last-delivered-id"])
                return _entry_position(last_read) < _entry_position(erasure)
            pending: Any = await self._redis.xpending(self._partition.stream, name)
            oldest = pending["min"]
            return oldest is not None and _entry_position(oldest) <= _entry_position(erasure)
        return False

    async def _idle_seconds(self, name: str) -> float:
        """Returns the seconds since the last read of its group."""
        if not await self._has_group(name):
            return float("inf")
        consumers = await self._redis.xinfo_consumers(self._partition.stream, name)
        return min((consumer["idle"] / 1000 for consumer in consumers), default=float("inf"))
