"""The limits of one request that the operations of a batch share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.limits import Limits


class BatchBudget:
    """What the operations of a batch have left, of the cost and of the fields of one operation.

    The operations are admitted in their order, so the first ones that fit are executed.
    """

    def __init__(self, limits: Limits) -> None:
        self.cost_budget = limits.cost_budget
        self.response_fields = limits.response_fields

    def spend(self, cost: int, fields: int) -> None:
        """Subtracts the cost and the fields of an admitted operation."""
        self.cost_budget -= cost
        self.response_fields -= fields
