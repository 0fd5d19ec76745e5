"""Mutants of how projectors share the partitions; `sharing` must find every one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from readside.projector import assignment
from readside.projector.assignment import PartitionAssignment
from readside.projector.projector import Projector
from readside.redis_functions.functions import GenerationGone
from tests.chaos.mutation import get, lua, put


def share_never_given_up() -> None:
    """Whoever has a partition keeps it, however many come."""
    wants = PartitionAssignment.may_own

    def or_has(self: PartitionAssignment, partition: int) -> bool:
        return partition in get(self, "_owned") or wants(self, partition)

    put(PartitionAssignment, "may_own", or_has)


def everybody_wants_all() -> None:
    """Nobody counts who else is there."""
    put(assignment, "fair_share", lambda partitions, *_: partitions)


def the_dead_count() -> None:
    """Whoever was there once has its share for ever."""
    lua("redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', now)")


def leases_for_ever() -> None:
    """A lease ends when it is given back."""
    lua("redis.call('SET', keys[1], args[1], 'PX', args[2])", "redis.call('SET', keys[1], args[1])")


def others_entries_acknowledged() -> None:
    """A projector reads where another has the lease, and acknowledges what is none of its business."""
    mine = get(Projector, "_owns_partition")

    async def or_passed_over(self: Projector) -> bool:
        if await mine(self):
            return True
        with suppress(GenerationGone):
            await _pass_over(self)
        return False

    put(Projector, "_owns_partition", or_passed_over)


async def _pass_over(projector: Any) -> None:
    keys = await get(projector, "_generations").active()
    if keys is None:
        return
    found = await get(projector, "_read_from")(keys, ">", 1000)
    if found:
        names = [entry for entry, _ in found]
        stream = keys.partition.stream
        await get(projector, "_redis").xack(stream, keys.generation, *names)


MUTANTS = {
    patch.__name__: patch
    for patch in (
        share_never_given_up,
        everybody_wants_all,
        the_dead_count,
        leases_for_ever,
        others_entries_acknowledged,
    )
}
