"""How far each partition's read model is: for whoever watches, never for what decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from redis.exceptions import NoPermissionError

from readside.generations.activation_guard import ParkedExcess
from readside.generations.memory_capacity import is_full
from readside.redis_functions.functions import FunctionCall, Functions
from readside.redis_functions.keys import ACTIVE_PREFIX, TANDEM, Keys, Namespace, Partition

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Building(msgspec.Struct, frozen=True):
    """How far a generation is that is built from the log."""

    done: int
    expected: int
    """Events of the log when it was begun."""


class Group(msgspec.Struct, frozen=True):
    """The consumer group of a generation, or one that somebody else has made."""

    entries: int
    """Those that it keeps from being trimmed."""
    idle: float | None = None
    """Seconds since it was last read; None if it never was."""


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Of one partition; `standing` in functions.lua writes it."""

    entries: int
    """In the stream."""
    cursor: str | None = None
    """The relay's."""
    owner: str | None = None
    """Which projector has the lease."""
    generations: dict[str, str] = {}
    """As Partition.generations has them."""
    groups: dict[str, Group] = {}
    """Of the stream, by name: a generation's group has its name."""
    generation: str | None = None
    """The one that readers are answered from. What follows is about this one."""
    behind: int | None = None
    """Entries that are not applied, 500 and some at most; None if its group is not there."""
    lag: float | None = None
    """Seconds since the oldest of them was appended; None if there is none."""
    applied: int
    """Events that it has seen applied."""
    parked: int
    """Users who are set aside."""
    lost: int
    """Users who are to be made anew."""
    full: bool = False
    """Whether Redis refuses writes for want of memory, or did so to a rebuild within the last minute."""
    progress: Building | None = None
    """Of the youngest generation that is being built; None if none is."""
    held: ParkedExcess | None = None
    """Why a complete generation of this version of the code does not serve; None if there is none."""

    @property
    def kept_back(self) -> dict[str, Group]:
        """Groups that keep entries from being trimmed, other than that of the generation that serves."""
        return {
            name: group
            for name, group in self.groups.items()
            if group.entries and name != self.generation
        }

    @property
    def building(self) -> list[str]:
        """Generations that nobody is answered from: yet, or any more."""
        serving = {
            name for field, name in self.generations.items() if field.startswith(ACTIVE_PREFIX)
        }
        return [
            name
            for name, state in self.generations.items()
            if state == "live" and name not in serving
        ]


_standing = msgspec.json.Decoder(PartitionStatus)


async def partition_statuses(
    redis: Redis, partitions: int, fingerprint: str, namespace: Namespace = TANDEM
) -> list[PartitionStatus]:
    """Of each partition, for this version of the read models. `redis` decodes. Raises what redis-py raises.

    Which generation serves is asked for first, so the answer may be about one that has just been replaced.
    """
    places = [namespace.partition(number) for number in range(partitions)]
    first = redis.pipeline(transaction=False)
    for place in places:
        first.hget(place.generations, f"{ACTIVE_PREFIX}{fingerprint}")
        first.exists(place.redis_full)
    first.info("memory")
    *answers, memory = _permitted(await first.execute(raise_on_error=False))
    serving: list[str | None] = answers[::2]
    full = [is_full(memory) or bool(noted) for noted in answers[1::2]]
    calls = [_call(place, name, fingerprint) for place, name in zip(places, serving, strict=True)]
    replies: list[str] = await Functions(redis, namespace).call_all(calls)
    found = [
        msgspec.structs.replace(_standing.decode(reply), generation=name, full=is_one)
        for reply, name, is_one in zip(replies, serving, full, strict=True)
    ]
    return await _with_builds(redis, fingerprint, list(zip(places, found, strict=True)))


def _permitted(replies: list[Any]) -> list[Any]:
    """The replies, with no figures of the memory where the user of Redis may not ask for them."""
    if isinstance(replies[-1], NoPermissionError):
        replies[-1] = {}
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


async def _with_builds(
    redis: Redis, fingerprint: str, found: Sequence[tuple[Partition, PartitionStatus]]
) -> list[PartitionStatus]:
    """The same with what is noted of generations that do not serve. Hardly ever there are any."""
    built = [
        (number, Keys(place, name).counters)
        for number, (place, one) in enumerate(found)
        for name in sorted(one.building)  # names begin with the time
    ]
    asked: Any = redis.pipeline(transaction=False)
    for _, counters in built:
        asked.hmget(counters, "seen", "expected", "code", "held", "instead-of")
    partition_statuses = [one for _, one in found]
    for (number, _), notes in zip(built, await asked.execute() if built else (), strict=True):
        seen, expected, code, held, instead_of = notes
        progress = None  # it has served before
        if None not in (seen, expected) and int(seen) < int(expected):
            progress = Building(int(seen), int(expected))
        changed: dict[str, Any] = {"progress": progress}
        if held is not None and code == fingerprint and instead_of is None:
            changed["held"] = msgspec.json.decode(held, type=ParkedExcess)
        partition_statuses[number] = msgspec.structs.replace(partition_statuses[number], **changed)
    return partition_statuses


async def shown(redis: Redis, users: Sequence[tuple[Keys, UUID]]) -> list[int]:
    """The versions that readers are shown of these users, given with their generation; 0 if none."""
    asked: Any = redis.pipeline(transaction=False)
    for keys, user in users:
        asked.hget(keys.user_hash(user), "version")
    return [int(version or 0) for version in await asked.execute()]


def _call(place: Partition, generation: str | None, fingerprint: str) -> FunctionCall:
    keys = Keys(place, generation or "none")
    names = [place.stream, place.cursor, place.generations, place.lease(fingerprint)]
    return FunctionCall(
        "partition_status",
        [*names, keys.counters, keys.parked, keys.needs_resync],
        [generation or ""],
    )
