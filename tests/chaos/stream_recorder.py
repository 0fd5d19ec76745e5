"""A group of our own on every stream, so that no entry is trimmed and all that was appended can be seen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from readside.redis_functions.keys import ACTIVE_PREFIX, Partition
from tests.chaos.checker import Violation
from tests.chaos.cluster import PARTITIONS

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from tests.chaos.cluster import Cluster

GROUP = "tap"


class Tap:
    """Where Redis loses nothing and PostgreSQL is not restarted, more can be expected than is promised."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._generations: set[str] = set()

    async def open(self) -> None:
        async with self._cluster.redis() as redis:
            for partition in range(PARTITIONS):
                await redis.xgroup_create(Partition(partition).stream, GROUP, id="0", mkstream=True)
            self._generations = await _generations(redis)

    async def close(self) -> list[Violation]:
        """Every event was appended once, in order of the user's versions, and nothing was built anew."""
        found = []
        async with self._cluster.redis() as redis:
            for partition in range(PARTITIONS):
                entries: Any = await redis.xrange(Partition(partition).stream)
                found += _in_order([msgspec.json.decode(fields["e"]) for _, fields in entries])
                await redis.xgroup_destroy(Partition(partition).stream, GROUP)
            if new := await _generations(redis) - self._generations:
                found.append(Violation("rebuilt-for-nothing", f"{len(new)} generations are new"))
        return found

    async def repeat(self) -> None:
        """Appends the last entries of every stream once more: a transport may do so at any time."""
        async with self._cluster.redis() as redis:
            for partition in range(PARTITIONS):
                stream = Partition(partition).stream
                entries: Any = await redis.xrevrange(stream, count=20)
                for _, fields in entries:
                    await redis.xadd(stream, fields)


async def _generations(redis: Redis) -> set[str]:
    """Those that serve."""
    found = set()
    for partition in range(PARTITIONS):
        fields: Any = await redis.hgetall(Partition(partition).generations)
        found |= {name for field, name in fields.items() if field.startswith(ACTIVE_PREFIX)}
    return found


def _in_order(entries: list[dict[str, Any]]) -> list[Violation]:
    last: Counter[str] = Counter()
    found = []
    for entry in entries:
        user, version = entry["user_id"], entry["version"]
        if version != last[user] + 1:
            what = f"version {version} of {user} was appended behind version {last[user]}"
            found.append(Violation("appended-once-in-order", what))
        last[user] = max(last[user], version)
    return found
