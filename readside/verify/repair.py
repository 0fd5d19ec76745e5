"""Repairs differences in one of two ways: resyncs single aggregates, or rebuilds the partition."""

from __future__ import annotations

from uuid import UUID

import msgspec

from readside.admin.maintenance import PartitionMaintenance
from readside.redis_functions.functions import GenerationGone
from readside.verify.verify import VerifyResult

MAX_RESYNCED_AGGREGATES = 1000
"""If more aggregates differ, the whole partition is rebuilt."""


class RepairResult(msgspec.Struct, kw_only=True):
    """What was repaired in a partition."""

    partition: int
    aggregates: list[str] = msgspec.field(default_factory=list, name="users")
    rebuilt: bool = False


async def repair(
    maintenance: PartitionMaintenance, partition: int, result: VerifyResult | None
) -> RepairResult:
    """Repairs what `result` reports; None: the partition has no active generation.

    Differences in data of several aggregates, or no active generation, need a rebuild.
    """
    if result is not None and not any(one.shared for one in result.differences):
        aggregates = sorted(
            {one.aggregate_id for one in result.differences if one.aggregate_id is not None}
        )
        if len(aggregates) <= MAX_RESYNCED_AGGREGATES:
            try:
                for aggregate_id in aggregates:
                    await maintenance.resync_aggregate(UUID(aggregate_id))
            except GenerationGone:
                pass
            else:
                return RepairResult(partition=partition, aggregates=aggregates)
    await maintenance.rebuild()
    return RepairResult(partition=partition, rebuilt=True)
