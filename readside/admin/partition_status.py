"""The status of each partition's read model: for monitoring, and before an aggregate is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from readside.generations.activation_guard import ParkedExcess
from readside.generations.memory_capacity import is_full
from readside.redis_functions.functions import FunctionCall, Functions, is_unreachable
from readside.redis_functions.keys import ACTIVE_PREFIX, TANDEM, Keys, Namespace, Partition


class Building(msgspec.Struct, frozen=True):
    """The progress of a generation that is being built from the log."""

    done: int
    expected: int
    """The number of events in the log when the build started."""


class Group(msgspec.Struct, frozen=True):
    """The consumer group of a generation, or of another application."""

    entries: int
    """Stream entries that it keeps from being trimmed."""
    idle: float | None = None
    """Seconds since it was last read; None if it was never read."""


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of one partition, as `partition_status` in inspection.lua encodes it."""

    entries: int
    """The length of the stream."""
    cursor: str | None = None
    """The relay's cursor."""
    owner: str | None = None
    """The projector that has the lease."""
    generations: dict[str, str] = {}
    """The fields of Partition.generations."""
    groups: dict[str, Group] = {}
    """The groups of the stream by name; a generation's group has its name."""
    generation: str | None = None
    """The active generation. The following fields are about it."""
    behind: int | None = None
    """Entries that are not applied, at most a little over 500; None if its group does not exist."""
    lag: float | None = None
    """The age of the oldest of them in seconds; None without such entries."""
    applied: int
    """Events applied so far."""
    parked: int
    """Parked aggregates."""
    lost: int
    """Aggregates that need a resync."""
    full: bool = False
    """Whether Redis refuses writes because memory is full, or refused a rebuild within the last minute."""
    progress: Building | None = None
    """The progress of the newest generation that is being built; None without a build."""
    held: ParkedExcess | None = None
    """Why a complete generation of this version of the code is not active; None without one."""

    @property
    def kept_back(self) -> dict[str, Group]:
        """Groups, other than that of the active generation, that keep entries from being trimmed."""
        return {
            name: group
            for name, group in self.groups.items()
            if group.entries and name != self.generation
        }

    @property
    def building(self) -> list[str]:
        """Valid generations that are not active: not yet, or no longer."""
        active = {
            name for field, name in self.generations.items() if field.startswith(ACTIVE_PREFIX)
        }
        return [
            name
            for name, state in self.generations.items()
            if state == "live" and name not in active
        ]


_decode_status = msgspec.json.Decoder(PartitionStatus).decode


async def partition_statuses(
    redis: Redis, partitions: int, fingerprint: str, namespace: Namespace = TANDEM
) -> list[PartitionStatus | None]:
    """Returns the status of each partition, for this version of the read models.

    None for a partition on an unreachable node of a cluster. `redis` decodes replies. The active generation
    is read first, so a status may be about one that has just been replaced. Raises what redis-py raises; also
    if no partition can be reached.
    """
    all_partitions = [namespace.partition(number) for number in range(partitions)]
    pipeline = redis.pipeline(transaction=False)
    for partition in all_partitions:
        pipeline.hget(partition.generations, f"{ACTIVE_PREFIX}{fingerprint}")
        pipeline.exists(partition.redis_full)
    pipeline.info("memory")
    *replies, memory = _permitted(await pipeline.execute(raise_on_error=False))
    active = replies[::2]
    is_memory_full = is_full(memory)
    calls = [
        _call(partition, name, fingerprint)
        for partition, name in zip(all_partitions, active, strict=True)
        if not is_unreachable(name)  # a host that hangs would take its time again
    ]
    called = iter(await Functions(redis, namespace).call_reachable(calls))
    encoded = [name if is_unreachable(name) else next(called) for name in active]
    statuses = [
        msgspec.structs.replace(
            _decode_status(status), generation=name, full=is_memory_full or was_full == 1
        )
        if not isinstance(status, Exception)
        else None
        for status, name, was_full in zip(encoded, active, replies[1::2], strict=True)
    ]
    if not any(statuses):
        raise encoded[0]
    return await _with_builds(redis, fingerprint, list(zip(all_partitions, statuses, strict=True)))


def _permitted(replies: list[Any]) -> list[Any]:
    """Replaces the last reply, the memory figures, by none if the Redis user may not read them."""
    if isinstance(replies[-1], NoPermissionError) or is_unreachable(replies[-1]):
        replies[-1] = {}
    for reply in replies:
        if isinstance(reply, Exception) and not is_unreachable(reply):
            raise reply
    return replies


async def _with_builds(
    redis: Redis, fingerprint: str, partitions: Sequence[tuple[Partition, PartitionStatus | None]]
) -> list[PartitionStatus | None]:
    """Adds the progress of generations that are not active. Usually there are none."""
    built = [
        (number, Keys(partition, name).counters)
        for number, (partition, status) in enumerate(partitions)
        if status is not None
        for name in sorted(status.building)  # names begin with the time
    ]
    pipeline: Any = redis.pipeline(transaction=False)
    for _, counters in built:
        pipeline.hmget(counters, "seen", "expected", "code", "held", "instead-of")
    statuses = [status for _, status in partitions]
    for (number, _), notes in zip(built, await pipeline.execute() if built else (), strict=True):
        seen, expected, code, held, instead_of = notes
        progress = None  # it was active before
        if None not in (seen, expected) and int(seen) < int(expected):
            progress = Building(int(seen), int(expected))
        changes: dict[str, Any] = {"progress": progress}
        if held is not None and code == fingerprint and instead_of is None:
            changes["held"] = msgspec.json.decode(held, type=ParkedExcess)
        if (status := statuses[number]) is not None:
            statuses[number] = msgspec.structs.replace(status, **changes)
    return statuses


async def visible_versions(redis: Redis, documents: Sequence[str]) -> list[int]:
    """Returns the versions of the aggregates with these documents; 0 for a document that does not exist."""
    pipeline: Any = redis.pipeline(transaction=False)
    for document in documents:
        pipeline.hget(document, "version")
    return [int(version or 0) for version in await pipeline.execute()]


def _call(partition: Partition, generation: str | None, fingerprint: str) -> FunctionCall:
    keys = Keys(partition, generation or "none")
    names = [
        *(partition.stream, partition.cursor, partition.generations),
        partition.lease(fingerprint),
    ]
    return FunctionCall(
        "partition_status",
        [*names, keys.counters, keys.parked, keys.needs_resync],
        [generation or ""],
    )
