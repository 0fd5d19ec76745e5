"""Checks the streams: names the group that keeps old entries from being trimmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from api.cli.checks.finding import Finding, hint, ok
from readside.generations.registry import is_generation
from readside.redis_functions.keys import ACTIVE_PREFIX, TANDEM, Namespace, Partition

MAX_AGE_SECONDS = 60.0
"""Age of an entry from which a hint is given."""


async def check(
    redis: Redis,
    partitions: int,
    names: Namespace = TANDEM,
    max_age_seconds: float = MAX_AGE_SECONDS,
) -> list[Finding]:
    findings = [
        finding
        for number in range(partitions)
        if (finding := await _old_entry(redis, names.partition(number), max_age_seconds))
        is not None
    ]
    return findings or [ok("streams", "no group keeps old entries")]


async def _old_entry(redis: Redis, partition: Partition, max_age_seconds: float) -> Finding | None:
    oldest: Any = await redis.xrange(partition.stream, count=1)
    if not oldest:
        return None
    seconds, _ = await redis.time()
    age = seconds - int(oldest[0][0].split("-")[0]) / 1000
    groups: Any = await redis.xinfo_groups(partition.stream)
    if age < max_age_seconds or not groups:
        return None
    positions = {group["name"]: await _position(redis, partition, group) for group in groups}
    name = min(positions, key=lambda name: positions[name])
    generations: Any = await redis.hgetall(partition.generations)
    [pending] = [group["pending"] for group in groups if group["name"] == name]
    return hint(
        "streams",
        f"Partition {partition.number} keeps {await redis.xlen(partition.stream)} entries of its stream, the"
        f" oldest for {age:.0f} s, for {_describe(name, partition, generations, pending)}",
    )


async def _position(
    redis: Redis, partition: Partition, group: Mapping[str, Any]
) -> tuple[int, ...]:
    """Returns the entry up to which a group has acknowledged everything."""
    entry = group["last-delivered-id"]
    if group["pending"]:
        summary: Any = await redis.xpending(partition.stream, group["name"])
        entry = summary["min"] or entry
    return tuple(map(int, entry.split("-")))


def _describe(name: str, partition: Partition, generations: Mapping[str, str], pending: int) -> str:
    active = {value for field, value in generations.items() if field.startswith(ACTIVE_PREFIX)}
    what = f"{name}, which has read and not acknowledged {pending}"
    if name in active:
        return f"the active read model {what}: see that a projector runs."
    if generations.get(name) == "live":
        return (
            f"the read model {what}: it is being built, was replaced within ten minutes, or was left by a"
            " rebuild that was interrupted; `tandem rebuild --abandon` removes that."
        )
    if is_generation(name):
        return f"the read model {what}: it is invalid, and a projector removes it."
    remedy = f"see that its consumer runs, or execute: XGROUP DESTROY {partition.stream} {name}"
    return f"the foreign group {what}: {remedy}"
