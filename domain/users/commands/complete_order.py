"""CompleteOrder: completes an open order, which then counts towards the user's lifetime value."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import OrderCommand
from domain.users.events import OrderCompleted
from domain.users.state import Order


class CompleteOrder(OrderCommand, frozen=True, kw_only=True):
    def decide_open(self, order: Order) -> Decision:
        return [OrderCompleted(order_id=order.id, total=order.total)]
