"""Repairs differences in one of two ways: resyncs single users, or rebuilds the partition."""

from __future__ import annotations

from uuid import UUID

import msgspec

from readside.admin.maintenance import PartitionMaintenance
from readside.redis_functions.functions import GenerationGone
from readside.verify.verify import VerifyResult

MAX_RESYNCED_USERS = 1000
"""If more users differ, the whole partition is rebuilt."""


class RepairResult(msgspec.Struct, kw_only=True):
    """What was repaired in a partition."""

    partition: int
    users: list[str] = []
    rebuilt: bool = False


async def repair(
    maintenance: PartitionMaintenance, partition: int, result: VerifyResult | None
) -> RepairResult:
    """Repairs what `result` reports; None: the partition has no active generation.

    Differences in data of several users, or no active generation, need a rebuild.
    """
    if result is not None and not any(one.shared for one in result.differences):
        users = sorted({one.user for one in result.differences if one.user is not None})
        if len(users) <= MAX_RESYNCED_USERS:
            try:
                for user in users:
                    await maintenance.resync_user(UUID(user))
            except GenerationGone:
                pass
            else:
                return RepairResult(partition=partition, users=users)
    await maintenance.rebuild()
    return RepairResult(partition=partition, rebuilt=True)
