"""Hundreds of users, for tests of the cost of large responses."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tests.api.in_memory_app import ALICE

if TYPE_CHECKING:
    from tests.api.in_memory_app import MemoryReads


def put_users(reads: MemoryReads, number: int, orders: int = 0) -> None:
    """Puts users with different ids into the read model, each with so many completed orders."""
    for index in range(number):
        user = UUID(int=(ALICE.int & ~0xFFFF) + index)
        reads.put(user, f"U{index}")
        for _ in range(orders):
            reads.put_order(user, "COMPLETED", 1_000)
