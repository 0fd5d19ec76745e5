"""What is found different is made right by the two ways there are: a user anew, or a partition anew."""

from __future__ import annotations

from uuid import UUID

import msgspec

from domain.users.events import UserId
from readside.admin.maintenance import PartitionMaintenance
from readside.redis_functions.functions import GenerationGone
from readside.verify.verify import VerifyResult

MANY = 1000
"""Users from which on the whole partition is built anew."""


class RepairResult(msgspec.Struct, kw_only=True):
    """What was done to a partition."""

    partition: int
    users: list[str] = []
    rebuilt: bool = False


async def repair(
    steering: PartitionMaintenance, partition: int, findings: VerifyResult | None
) -> RepairResult:
    """None for findings: nothing serves there. What users have in common cannot be mended user by user."""
    if findings is None:
        return await _rebuilt(steering, partition)
    users = sorted({one.user for one in findings.differences if one.user is not None})
    if any(one.shared for one in findings.differences) or len(users) > MANY:
        return await _rebuilt(steering, partition)
    try:
        for user in users:
            await steering.mend(UserId(UUID(user)))
    except GenerationGone:
        return await _rebuilt(steering, partition)
    return RepairResult(partition=partition, users=users)


async def _rebuilt(steering: PartitionMaintenance, partition: int) -> RepairResult:
    await steering.rebuild()
    return RepairResult(partition=partition, rebuilt=True)
