"""Who holds back the streams: the group that has not acknowledged the oldest entry that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from api.cli.checks.finding import Finding, hint, ok
from readside.generations.registry import is_generation
from readside.redis_functions.keys import ACTIVE_PREFIX, TANDEM, Namespace, Partition

if TYPE_CHECKING:
    from redis.asyncio import Redis

HELD_SECONDS = 60.0
"""Seconds that an entry may be kept without a word."""


async def look(
    redis: Redis, partitions: int, names: Namespace = TANDEM, held: float = HELD_SECONDS
) -> list[Finding]:
    found = [
        finding
        for number in range(partitions)
        if (finding := await _held(redis, names.partition(number), held)) is not None
    ]
    return found or [ok("streams", "nobody holds them back")]


async def _held(redis: Redis, place: Partition, held: float) -> Finding | None:
    oldest: Any = await redis.xrange(place.stream, count=1)
    if not oldest:
        return None
    seconds, _ = await redis.time()
    age = seconds - int(oldest[0][0].split("-")[0]) / 1000
    groups: Any = await redis.xinfo_groups(place.stream)
    if age < held or not groups:
        return None
    positions = {group["name"]: await _position(redis, place, group) for group in groups}
    name = min(positions, key=lambda name: positions[name])
    known: Any = await redis.hgetall(place.generations)
    [pending] = [group["pending"] for group in groups if group["name"] == name]
    return hint(
        "streams",
        f"Partition {place.number} keeps {await redis.xlen(place.stream)} entries of its stream, the oldest"
        f" for {age:.0f} s, for {_named(name, place, known, pending)}",
    )


async def _position(redis: Redis, place: Partition, group: Mapping[str, Any]) -> tuple[int, ...]:
    """Up to where a group has acknowledged everything."""
    entry = group["last-delivered-id"]
    if group["pending"]:
        summary: Any = await redis.xpending(place.stream, group["name"])
        entry = summary["min"] or entry
    return tuple(map(int, entry.split("-")))


def _named(name: str, place: Partition, known: Mapping[str, str], pending: int) -> str:
    serving = {value for field, value in known.items() if field.startswith(ACTIVE_PREFIX)}
    what = f"{name}, which has read and not acknowledged {pending}"
    if name in serving:
        return f"the read model that serves, {what}: see that a projector runs."
    if known.get(name) == "live":
        return (
            f"the read model {what}: it is being built, was replaced within ten minutes, or was left by a"
            " rebuild that was interrupted; `tandem rebuild --abandon` removes that."
        )
    if is_generation(name):
        return f"the read model {what}: it is void, and a projector removes it."
    remedy = f"see that its consumer runs, or execute: XGROUP DESTROY {place.stream} {name}"
    return f"the foreign group {what}: {remedy}"
