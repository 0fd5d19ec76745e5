"""CompleteOrder: completes an open order, which then counts towards the user's lifetime value."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import OrderCommand
from domain.users.events import OrderCompleted
from domain.users.refusals import OrderNotOpen
from domain.users.state import Order


class CompleteOrder(OrderCommand, frozen=True, kw_only=True):
    def decide_existing(self, order: Order) -> Decision:
        if order.status != "OPEN":
            return OrderNotOpen(status=order.status)
        return [OrderCompleted(order_id=order.id, total=order.total)]
