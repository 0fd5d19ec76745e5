"""What is found different is made right by the two ways there are: a user anew, or a partition anew."""

from __future__ import annotations

from uuid import UUID

import msgspec

from domain.events import UserId
from readside.functions import Gone
from readside.steering import Steering
from readside.verify import Findings

MANY = 1000
"""Users from which on the whole partition is built anew."""


class Repaired(msgspec.Struct, kw_only=True):
    """What was done to a partition."""

    partition: int
    users: list[str] = []
    rebuilt: bool = False


async def repair(steering: Steering, partition: int, findings: Findings | None) -> Repaired:
    """None for findings: nothing serves there. What users have in common cannot be mended user by user."""
    if findings is None:
        return await _rebuilt(steering, partition)
    users = sorted({one.user for one in findings.differences if one.user is not None})
    if any(one.shared for one in findings.differences) or len(users) > MANY:
        return await _rebuilt(steering, partition)
    try:
        for user in users:
            await steering.mend(UserId(UUID(user)))
    except Gone:
        return await _rebuilt(steering, partition)
    return Repaired(partition=partition, users=users)


async def _rebuilt(steering: Steering, partition: int) -> Repaired:
    await steering.rebuild()
    return Repaired(partition=partition, rebuilt=True)
