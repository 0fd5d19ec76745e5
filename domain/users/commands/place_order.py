"""PlaceOrder: places an open order for a user."""

from __future__ import annotations

from uuid import UUID

from domain.command import Decision
from domain.users.commands import UserCommand
from domain.users.events import OrderId, OrderPlaced
from domain.users.state import User


class PlaceOrder(UserCommand, frozen=True, kw_only=True):
    server_generated = ("order_id",)

    order_id: OrderId
    total: int
    """Minor units."""

    @property
    def result_id(self) -> UUID:
        return self.order_id

    def decide_existing(self, user: User) -> Decision:
        return [OrderPlaced(order_id=self.order_id, total=self.total)]
