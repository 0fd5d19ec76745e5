"""CancelOrder: cancels an open order."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import OrderCommand
from domain.users.events import OrderCancelled
from domain.users.state import Order


class CancelOrder(OrderCommand, frozen=True, kw_only=True):
    def decide_open(self, order: Order) -> Decision:
        return [OrderCancelled(order_id=order.id)]
