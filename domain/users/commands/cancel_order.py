"""CancelOrder: cancels an open order."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import OrderCommand
from domain.users.events import OrderCancelled
from domain.users.refusals import OrderNotOpen
from domain.users.state import Order


class CancelOrder(OrderCommand, frozen=True, kw_only=True):
    def decide_existing(self, order: Order) -> Decision:
        if order.status != "OPEN":
            return OrderNotOpen(status=order.status)
        return [OrderCancelled(order_id=order.id)]
